"""Embedding models of an Ollama server, by its own API: https://docs.ollama.com/api/embed."""

import asyncio

from infrastructure.embedders.batches import BatchLimits
from infrastructure.embedders.http import HttpEmbedder
from infrastructure.embedders.remote import BAD_SHAPE, Limits, Refused, Remote
from infrastructure.embedders.vectors import Vectors, vector_of
from infrastructure.errors import ProviderProtocolError, ProviderRejected
from infrastructure.providers.retry import Backoff, Sleep

_NOT_FOUND = 404


class OllamaEmbedder(HttpEmbedder):
    """An `Embedder` named `ollama:<model>`. `base_url` is the server's root; a `/v1` at its end is not minded."""

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str | None = None,
        limits: Limits | None = None,
        batch: BatchLimits | None = None,
        backoff: Backoff | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        root = base_url.strip().rstrip("/").removesuffix("/v1").rstrip("/")
        remote = Remote(root, "/api/embed", api_key, "ollama_embeddings", limits, backoff, sleep)
        super().__init__(remote, f"ollama:{model}", model, None, batch or BatchLimits(texts=32))
        self._model = model

    async def _request(self, texts: list[str]) -> list[Vectors]:
        try:
            answer = await self._remote.ask({"model": self._model, "input": texts, "truncate": True})
        except Refused as fault:
            if fault.status != _NOT_FOUND:
                raise
            raise ProviderRejected(f"Ollama does not have the model: ollama pull {self._model}") from fault
        found = answer.get("embeddings") if isinstance(answer, dict) else None
        if not isinstance(found, list):
            raise ProviderProtocolError(BAD_SHAPE)
        return [vector_of(vector) for vector in found]
