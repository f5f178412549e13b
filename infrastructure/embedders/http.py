"""What all embedding models behind HTTP have in common; how one is asked is its own file's."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import numpy as np

from infrastructure.embedders.batches import BatchLimits, batches
from infrastructure.embedders.prefixes import prefixes
from infrastructure.embedders.remote import Refused, Remote, without_surrogates
from infrastructure.embedders.vectors import Vectors, stacked
from infrastructure.errors import ProviderProtocolError, ProviderUnavailable

_TOO_LARGE = 413


class HttpEmbedder(ABC):
    """Texts to vectors in requests of a bounded size. `dimensions` are learnt from the first answer."""

    def __init__(
        self, remote: Remote, name: str, model: str, dimensions: int | None, batch: BatchLimits | None
    ) -> None:
        self._remote = remote
        self._name = name
        self._prefixes = prefixes(model)
        self._dimensions = dimensions or 0
        self._batch = batch or BatchLimits()

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimensions(self) -> int:
        if not self._dimensions:
            raise ProviderUnavailable("The embedding model has not answered yet.")
        return self._dimensions

    async def embed(self, texts: Sequence[str], purpose: Literal["query", "passage"] = "passage") -> Vectors:
        """See `services.embeddings.Embedder`. A blank text is not sent: servers refuse it, and its row is zeros.

        Raises:
            ProviderUnavailable: not to be reached, too busy or too slow, after every retry.
            ProviderRejected: the key, the model or the quota is not good.
            ProviderProtocolError: a wrong count, another length than before, numbers that are not finite.
        """
        before = self._prefixes.before(purpose)
        sent = [n for n, text in enumerate(texts) if text.strip()]
        wanted = [without_surrogates(before + texts[n][: self._batch.text_chars]) for n in sent]
        found = [await self._embed_batch(some) for some in batches(wanted, self._batch)]
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        if found:
            vectors[sent] = np.concatenate(found)
        return vectors

    async def aclose(self) -> None:
        await self._remote.aclose()

    @abstractmethod
    async def _request(self, texts: list[str]) -> list[Vectors]:
        """One vector for each text, as the server gives them."""

    async def _embed_batch(self, texts: list[str]) -> Vectors:
        try:
            found = await self._request(texts)
        except Refused as fault:
            if fault.status != _TOO_LARGE or len(texts) == 1:
                raise
            half = len(texts) // 2  # some servers take no more than 32 texts, and say so by this status
            return np.concatenate([await self._embed_batch(texts[:half]), await self._embed_batch(texts[half:])])
        if len(found) != len(texts):
            raise ProviderProtocolError("The embedding model sent more or fewer vectors than texts.")
        rows = stacked(found)
        self._dimensions = self._dimensions or rows.shape[1]
        if rows.shape[1] != self._dimensions:
            raise ProviderProtocolError("The embedding model gives vectors of another length than before.")
        return rows
