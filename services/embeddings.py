"""Texts to vectors: in batches, off the event loop, and each text only once as long as the cache remembers it."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from services.cache import CacheManager, cache_key

Vectors = npt.NDArray[np.float32]

NAMESPACE = "embeddings"
BATCH = 256


class Embedder(Protocol):
    """An embedding model. `embed` blocks, is called from threads, and gives float32 rows of L2 norm 1, shape (n, d)."""

    @property
    def model(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> Vectors: ...


class Embeddings:
    """An embedder behind the cache. A vector from the cache is bit for bit the one that was computed."""

    def __init__(self, embedder: Embedder, cache: CacheManager | None = None, batch: int = BATCH) -> None:
        self._embedder = embedder
        self._cache = cache
        self._batch = batch

    @property
    def model(self) -> str:
        return self._embedder.model

    @property
    def dimensions(self) -> int:
        return self._embedder.dimensions

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """One row for each text: float32, shape (n, `dimensions`), of L2 norm 1; zeros for one without words."""
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        for at in range(0, len(texts), self._batch):
            some = texts[at : at + self._batch]
            vectors[at : at + len(some)] = await self._embed_batch(some)
        return vectors

    async def _embed_batch(self, texts: Sequence[str]) -> Vectors:
        if self._cache is None:
            return await asyncio.to_thread(self._embedder.embed, texts)
        keys = [cache_key(self.model, str(self.dimensions), text) for text in texts]
        kept = await self._cache.get_many(NAMESPACE, keys)
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        missing = [n for n, value in enumerate(kept) if not self._restore(value, vectors[n])]
        if missing:
            fresh = await asyncio.to_thread(self._embedder.embed, [texts[n] for n in missing])
            vectors[missing] = fresh
            await self._cache.put_many(NAMESPACE, [(keys[n], vectors[n].tobytes()) for n in missing])
        return vectors

    def _restore(self, value: bytes | None, row: Vectors) -> bool:
        if value is None or len(value) != row.nbytes:
            return False
        row[:] = np.frombuffer(value, np.float32)
        return True
