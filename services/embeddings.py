"""Texts to vectors: in batches, off the event loop, and each text only once as long as the cache remembers it."""

import asyncio
import inspect
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from typing import Final, Literal, Protocol, cast

import numpy as np
import numpy.typing as npt

from infrastructure.errors import ProviderProtocolError, ProviderUnavailable
from services.cache import CacheManager, cache_key

Vectors = npt.NDArray[np.float32]
"""Rows of vectors, shape (n, d)."""
Vector = npt.NDArray[np.float32]
"""One vector, shape (d,)."""
Purpose = Literal["query", "passage"]
"""What a text is embedded for. Some models put other words before a question than before what may answer it."""

NAMESPACE = "embeddings"
BATCH = 256
QUERIES_KEPT = 512  # in memory: a question asked again, or by two searches of one run, costs no request
QUERY_SECONDS = 10.0
PROBE = "probe"
_PURPOSES: Final[tuple[Purpose, ...]] = ("passage", "query")


class Embedder(Protocol):
    """An embedding model that is asked and waited for: over the network, or in a thread."""

    @property
    def name(self) -> str:
        """How its vectors are kept and told apart from another model's, "openai:text-embedding-3-small" say."""

    @property
    def dimensions(self) -> int:
        """
        Raises:
            ProviderUnavailable: it is learnt from the model's first answer, and there was none yet.
        """

    async def embed(self, texts: Sequence[str], purpose: Purpose = "passage") -> Vectors:
        """Float32 rows of L2 norm 1, shape (len(texts), `dimensions`); zeros for a text without words.

        Raises:
            ProviderError: the model gave no vectors, after every retry.
        """

    async def aclose(self) -> None: ...


class LocalEmbedder(Protocol):
    """A model so cheap that a question is embedded on the event loop. `embed` blocks, and can be called from threads.

    It gives float32 rows of L2 norm 1, shape (n, d).
    """

    @property
    def model(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> Vectors: ...


class Embeddings:
    """An embedding model behind the cache. A vector from the cache is bit for bit the one that was computed.

    At most `concurrency` batches are with the model at a time. A question of a remote model may take `query_seconds`,
    with all its retries.
    """

    def __init__(
        self,
        embedder: Embedder | LocalEmbedder,
        cache: CacheManager | None = None,
        batch: int = BATCH,
        *,
        concurrency: int = 1,
        query_seconds: float = QUERY_SECONDS,
    ) -> None:
        if inspect.iscoroutinefunction(embedder.embed):
            self.local: LocalEmbedder | None = None
            self._embedder = cast(Embedder, embedder)
        else:
            self.local = cast(LocalEmbedder, embedder)
            self._embedder = _InThread(self.local)
        self._cache = cache
        self._batch = batch
        self._query_seconds = query_seconds
        self._turns = asyncio.Semaphore(concurrency)
        self._queries: OrderedDict[bytes, Vector] = OrderedDict()
        self._dimensions = 0

    @property
    def model(self) -> str:
        return self._embedder.name

    @property
    def dimensions(self) -> int:
        """
        Raises:
            ProviderUnavailable: nobody knows yet. After `open` this cannot happen.
        """
        return self._dimensions or self._embedder.dimensions

    async def open(self) -> None:
        """Get to know `dimensions`: from the embedder, else the cache, else the model, by one word.

        Raises:
            ProviderError: the model could not tell.
        """
        try:
            self._dimensions = self._embedder.dimensions
        except ProviderUnavailable:
            self._dimensions = await self._kept_dimensions() or await self._asked_dimensions()

    async def aclose(self) -> None:
        await self._embedder.aclose()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """One row for each text: float32, shape (n, `dimensions`), of L2 norm 1; zeros for one without words.

        Raises:
            ProviderError: the model gave no vectors.
        """
        parts = [texts[at : at + self._batch] for at in range(0, len(texts), self._batch)]
        found = await _all([self._embed_batch(part) for part in parts])
        return np.concatenate(found) if found else np.empty((0, self.dimensions), np.float32)

    async def query(self, text: str) -> Vector:
        """The vector of a question, shape (d,): at once from a local model.

        Raises:
            ProviderError: the model gave no vector, or not in time.
        """
        at_once = self.query_now(text)
        if at_once is not None:
            return at_once
        key = _query_key(text)
        vector = self._queries.get(key)
        if vector is None:
            vector = (await self._embed_in_time(text))[0]
            vector.flags.writeable = False  # it is handed out again
            self._queries[key] = vector
            if len(self._queries) > QUERIES_KEPT:
                self._queries.popitem(last=False)
        else:
            self._queries.move_to_end(key)
        return vector

    def query_now(self, text: str) -> Vector | None:
        """The vector of a question from a local model, shape (d,); None where the model has to be waited for."""
        return self.local.embed([text])[0] if self.local is not None else None

    async def probe(self) -> None:
        """Have the model embed a word, past every cache: is it there?

        Raises:
            ProviderError: it gave no vector, or not in time.
        """
        await self._within(self._compute([PROBE], "query"))

    async def forget(self, texts: Sequence[str]) -> None:
        """Remove from the caches what was kept of `texts`. What is being embedded just now is kept afterwards."""
        for text in texts:
            self._queries.pop(_query_key(text), None)
        if self._cache is not None and texts:
            width = self.dimensions
            keys = [self._key(width, text, purpose) for text in texts for purpose in _PURPOSES]
            await self._cache.remove_many(NAMESPACE, keys)

    async def _embed_in_time(self, text: str) -> Vectors:
        return await self._within(self._embed_batch([text], "query"))

    async def _within(self, work: Coroutine[None, None, Vectors]) -> Vectors:
        try:
            async with asyncio.timeout(self._query_seconds) as scope:
                return await work
        except TimeoutError as fault:
            if not scope.expired():
                raise
            raise ProviderUnavailable("The embedding model took too long.") from fault

    async def _embed_batch(self, texts: Sequence[str], purpose: Purpose = "passage") -> Vectors:
        if self._cache is None:
            return await self._compute(texts, purpose)
        width = self.dimensions
        keys = [self._key(width, text, purpose) for text in texts]
        kept = await self._cache.get_many(NAMESPACE, keys)
        vectors = np.zeros((len(texts), width), np.float32)
        missing = [n for n, value in enumerate(kept) if not _restore(value, vectors[n])]
        if missing:
            vectors[missing] = await self._compute([texts[n] for n in missing], purpose)
            await self._cache.put_many(NAMESPACE, [(keys[n], vectors[n].tobytes()) for n in missing])
        return vectors

    async def _compute(self, texts: Sequence[str], purpose: Purpose) -> Vectors:
        if purpose == "query":  # somebody waits: a question does not queue behind the indexing
            return await self._checked(await self._embedder.embed(texts, purpose))
        async with self._turns:
            return await self._checked(await self._embedder.embed(texts, purpose))

    async def _checked(self, vectors: Vectors) -> Vectors:
        """What the cache said of the model's dimensions may have become wrong: then the next start asks anew."""
        if self._dimensions in (0, vectors.shape[1]):
            return vectors
        if self._cache is not None:
            await self._cache.remove_many(NAMESPACE, [self._dimensions_key()])
        raise ProviderProtocolError("The embedding model gives vectors of another length than before.")

    def _key(self, width: int, text: str, purpose: Purpose) -> bytes:
        parts = (self.model, str(width), text)
        return cache_key(*parts) if purpose == "passage" else cache_key(*parts, purpose)

    async def _kept_dimensions(self) -> int:
        if self._cache is None:
            return 0
        (kept,) = await self._cache.get_many(NAMESPACE, [self._dimensions_key()])
        return int.from_bytes(kept, "little") if kept else 0

    async def _asked_dimensions(self) -> int:
        found = len((await self._embedder.embed(["dimensions"]))[0])
        if self._cache is not None:
            await self._cache.put_many(NAMESPACE, [(self._dimensions_key(), found.to_bytes(4, "little"))])
        return found

    def _dimensions_key(self) -> bytes:
        return cache_key(self.model, "dimensions")


class _InThread:
    """A local embedder as one that is waited for."""

    def __init__(self, local: LocalEmbedder) -> None:
        self._local = local
        self.name = local.model
        self.dimensions = local.dimensions

    async def embed(self, texts: Sequence[str], purpose: Purpose = "passage") -> Vectors:
        return await asyncio.to_thread(self._local.embed, texts)

    async def aclose(self) -> None:
        """There is nothing to give back."""


def _query_key(text: str) -> bytes:
    return cache_key(text)


def _restore(value: bytes | None, row: Vector) -> bool:
    if value is None or len(value) != row.nbytes:
        return False
    row[:] = np.frombuffer(value, np.float32)
    return True


async def _all(work: Sequence[Coroutine[None, None, Vectors]]) -> list[Vectors]:
    """The results in their order. When one fails or this is cancelled, the others are ended first."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
