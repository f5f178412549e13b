"""Embedding models behind an OpenAI-compatible `/embeddings`: OpenAI, vLLM, llama.cpp, TEI, LiteLLM and their like."""

import asyncio
from typing import Any, Final

from infrastructure.embedders.batches import BatchLimits
from infrastructure.embedders.http import HttpEmbedder
from infrastructure.embedders.remote import BAD_SHAPE, Limits, Refused, Remote
from infrastructure.embedders.vectors import Vectors, vector_of
from infrastructure.errors import ProviderProtocolError
from infrastructure.providers.endpoint import Token
from infrastructure.providers.retry import Backoff, Sleep

_NOT_UNDERSTOOD: Final = frozenset({400, 422})
_KNOWN: Final = {  # https://platform.openai.com/docs/guides/embeddings
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}


class OpenAIEmbedder(HttpEmbedder):
    """An `Embedder` named `openai:<model>`.

    `dimensions` asks the model for shorter vectors, which not every model can; they are another model's then, and the
    name says so (`openai:<model>@256`). Vectors come as base64, a quarter of the bytes, unless the server does not take
    that word.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str | Token | None,
        model: str,
        dimensions: int | None = None,
        limits: Limits | None = None,
        batch: BatchLimits | None = None,
        backoff: Backoff | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        name = f"openai:{model}@{dimensions}" if dimensions else f"openai:{model}"
        remote = Remote(base_url, "/embeddings", api_key, "openai_embeddings", limits, backoff, sleep)
        super().__init__(remote, name, model, dimensions or _KNOWN.get(model), batch)
        self._model = model
        self._asked_dimensions = dimensions
        self._base64: bool | None = None  # whether the server takes it; None: not known

    async def _request(self, texts: list[str]) -> list[Vectors]:
        if self._base64 is False:
            return await self._ask(texts, {})
        try:
            found = await self._ask(texts, {"encoding_format": "base64"})
            self._base64 = True
        except Refused as fault:
            if self._base64 or fault.status not in _NOT_UNDERSTOOD:
                raise
            found = await self._ask(texts, {})
            self._base64 = False
        return found

    async def _ask(self, texts: list[str], more: dict[str, Any]) -> list[Vectors]:
        body = {"model": self._model, "input": texts} | more
        if self._asked_dimensions:
            body["dimensions"] = self._asked_dimensions
        answer = await self._remote.ask(body)
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
            raise ProviderProtocolError(BAD_SHAPE)
        return [vector_of(item.get("embedding")) for item in _in_order(data)]


def _in_order(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By `index`, which must be each of 0, 1, 2 … once. Servers that number nothing answer in order."""
    if all("index" not in item for item in data):
        return data
    placed = {item["index"]: item for item in data if type(item.get("index")) is int}
    if placed.keys() != set(range(len(data))):
        raise ProviderProtocolError("The embedding model numbered its vectors wrongly.")
    return [placed[n] for n in range(len(data))]
