"""The search index: the knowledge as search sees it, in step with the database.

It is kept in partitions. The shared knowledge's is here from the start; an owner's files are read from the database
when they are first searched, and leave memory when others need the room. A search is given the partitions that it may
see and meets no other. What it reads is a snapshot of each, which a change replaces as a whole, so a search sees all of a
change or none of it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import structlog

from infrastructure.database.models import SHARED
from infrastructure.errors import ProviderError
from infrastructure.lexical.tantivy import LexicalIndex
from services.embeddings import Embeddings
from services.knowledge.confidence import calibration
from services.knowledge.partition import Loading, Partition
from services.knowledge.preference import prefer
from services.knowledge.records import ChunkRecord
from services.knowledge.retrieval import MAX_QUERY_CHARS, Ranking, Retrieval, Retriever
from services.knowledge.scope import SHARED_SCOPE, Scope
from services.knowledge.snapshot import Snapshot, View
from services.knowledge.store import RecordStore
from services.knowledge.text import TextAnalysis

__all__ = ["ChunkSource", "Retrieval", "SearchIndex"]

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
Vectors = npt.NDArray[np.float32]
Batch = tuple[Sequence[ChunkRecord], Vectors]
T = TypeVar("T")

INLINE_CHUNKS = 2000
"""Up to here a search is done where it is asked for. It takes some 0.25 ms there (0.45 at 1,000 synthetic chunks), as
long as parsing a few tokens of a model; the hop to a thread and back costs half as much again, and under load the wait
for the interpreter's lock much more.
"""
TEXT_BYTES = 64 * 1024 * 1024
HELD_CHUNKS = 200_000  # of owners' partitions in memory: some 1.2 KB each, beside the texts
HELD_PARTITIONS = 500
CURATED_THRESHOLD = 0.7


class ChunkSource(Protocol):
    """Where chunks are read from."""

    async def fetch(self, rows: Sequence[int]) -> list[ChunkRecord]:
        """The records of rows that memory no longer holds; a row that is gone is left out."""

    def batches(self, partition: str) -> AsyncIterator[Batch]:
        """Every chunk of a partition that can be found, with its vector."""

    async def generation(self, partition: str) -> int: ...


class SearchIndex:
    """Finds passages. Long searches run in one thread and changes in another, so neither holds up the event loop.

    `text_bytes` bounds the chunks kept in memory; others are fetched when a search needs them. `held_chunks` bounds the
    owners' partitions.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        lexical: LexicalIndex,
        source: ChunkSource,
        *,
        analysis: TextAnalysis | None = None,
        curated_threshold: float = CURATED_THRESHOLD,
        text_bytes: int = TEXT_BYTES,
        held_chunks: int = HELD_CHUNKS,
    ) -> None:
        self.analysis = analysis or TextAnalysis()
        self._embeddings = embeddings
        self._source = source
        self._retriever = Retriever(self.analysis, curated_threshold, calibration(embeddings.model))
        self._records = RecordStore(text_bytes)
        self._held_chunks = held_chunks
        self._shared = Partition(lexical, embeddings.dimensions)
        self._owned: OrderedDict[str, Partition] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Partition]] = {}
        self._views: dict[tuple[str, ...], tuple[tuple[Snapshot, ...], View]] = {}
        self._changing = asyncio.Lock()
        self._searcher = ThreadPoolExecutor(1, "search")
        self._writer = ThreadPoolExecutor(1, "index")

    @property
    def lexical_generation(self) -> int | None:
        """The generation that the shared lexical index on disk holds; None when it has to be built."""
        return self._shared.lexical.generation

    @property
    def size(self) -> int:
        """How many chunks of the shared knowledge can be found."""
        return self._shared.snapshot.vectors.size

    def idf(self, term: str) -> float:
        """How rare an analysed term is in the shared knowledge as it is now."""
        return self._view((SHARED,), (self._shared.snapshot,)).idf(term)

    async def search(self, query: str, limit: int = 8, scope: Scope = SHARED_SCOPE) -> Retrieval:
        """The passages for `query` in `scope`, best first, at most `limit`."""
        query = query[:MAX_QUERY_CHARS]
        parts = (self._shared,) if scope.partitions == (SHARED,) else await self._parts(scope.partitions)
        vector = self._embeddings.query_now(query)
        if vector is None:
            vector = await self._embedded(query)
        view = self._view(scope.partitions, tuple(part.snapshot for part in parts))
        found = await self._find(view, query, vector, limit, scope.only)
        if scope.first and scope.only is None:
            first = await self._find(view, query, vector, limit, scope.first)
            return prefer(first, found, limit)
        return found

    async def replace(
        self,
        partition: str,
        removed_rows: Sequence[int],
        added: Sequence[ChunkRecord],
        vectors: Vectors,
        *,
        generation: int,
    ) -> None:
        """Remove and add chunks of a partition at once; the next search sees all of it. `vectors` has a row for each of
        `added`. A partition that is not in memory will be read with the change, as the database has it already.
        """
        questions = await self._embeddings.embed([record.question for record in added if record.question])
        async with self._changing:
            if partition in self._loading:
                await asyncio.wait([self._loading[partition]])
            part = self._shared if partition == SHARED else self._owned.get(partition)
            if part is not None:
                await self._in(self._writer, part.replace, removed_rows, added, vectors, questions, generation)
                self._records.put(added)
            self._records.remove(removed_rows)
        self._make_room()

    async def withdraw(self, partition: str, rows: Sequence[int], *, generation: int) -> None:
        """Remove chunks of a partition."""
        nothing = np.empty((0, self._embeddings.dimensions), np.float32)
        await self.replace(partition, rows, (), nothing, generation=generation)

    async def load(self, batches: AsyncIterator[Batch], *, generation: int) -> None:
        """Take in all of the shared knowledge, in place of what is there. The lexical index is built anew only where it
        does not hold `generation` already.
        """
        async with self._changing:
            await self._load(self._shared, batches, generation)

    async def aclose(self) -> None:
        """End the threads and give up the index folder."""
        for task in self._loading.values():
            task.cancel()
        await asyncio.gather(*self._loading.values(), return_exceptions=True)
        await asyncio.to_thread(self._writer.shutdown)
        await asyncio.to_thread(self._searcher.shutdown)
        self._shared.lexical.close()

    async def _find(
        self, view: View, query: str, vector: Vectors, limit: int, only: frozenset[str] | None
    ) -> Retrieval:
        if view.size <= INLINE_CHUNKS:
            found = self._search(view, query, vector, limit, only)
        else:
            found = await self._in(self._searcher, self._search, view, query, vector, limit, only)
        if isinstance(found, Retrieval):
            return found
        rows = found.rows()
        records = self._records.get(rows)
        fetched = await self._source.fetch([row for row in rows if row not in records])
        self._records.put(fetched)
        records.update((record.row, record) for record in fetched)
        return await self._in(self._searcher, self._retriever.finish, found, records)

    def _search(
        self, view: View, query: str, vector: Vectors, limit: int, only: frozenset[str] | None
    ) -> Retrieval | Ranking:
        """The whole search, or the first half of one that needs records from the database."""
        ranking = self._retriever.rank(view, query, vector, limit, only)
        rows = ranking.rows()
        records = self._records.get(rows)
        return self._retriever.finish(ranking, records) if len(records) == len(rows) else ranking

    async def _embedded(self, query: str) -> Vectors:
        """The question's vector; zeros when the model is away, so that words alone find what they can."""
        try:
            return await self._embeddings.query(query)
        except ProviderError as error:
            log.warning("question not embedded", kind=error.kind)
            return np.zeros(self._embeddings.dimensions, np.float32)

    def _view(self, names: tuple[str, ...], snapshots: tuple[Snapshot, ...]) -> View:
        """The view of these snapshots: kept for as long as they are current, as it knows how rare words are."""
        kept = self._views.get(names)
        if kept is not None and all(map(_same, kept[0], snapshots)):
            return kept[1]
        if len(self._views) >= HELD_PARTITIONS:
            self._views.clear()
        view = View(snapshots)
        self._views[names] = (snapshots, view)
        return view

    async def _parts(self, names: Sequence[str]) -> tuple[Partition, ...]:
        return tuple([self._shared if name == SHARED else await self._owned_part(name) for name in names])

    async def _owned_part(self, name: str) -> Partition:
        part = self._owned.get(name)
        if part is None:
            task = self._loading.get(name)
            if task is None:
                task = self._loading[name] = asyncio.create_task(self._read(name))
                task.add_done_callback(lambda _: self._loading.pop(name, None))
            part = await asyncio.shield(task)
        if name in self._owned:
            self._owned.move_to_end(name)
        return part

    async def _read(self, name: str) -> Partition:
        """Bring a partition into memory. Changes to it wait until it is there, and are made once more then."""
        part = Partition(LexicalIndex(None), self._embeddings.dimensions)
        await self._load(part, self._source.batches(name), await self._source.generation(name))
        self._owned[name] = part
        self._make_room()
        return part

    async def _load(self, part: Partition, batches: AsyncIterator[Batch], generation: int) -> None:
        loading = Loading(part.lexical if part.lexical.generation != generation else None)
        try:
            async for records, vectors in batches:
                await self._in(self._writer, loading.add, records, vectors)
                self._records.put(records)
            questions = await self._embeddings.embed([record.question or "" for record in loading.curated])
            await self._in(self._writer, part.load, loading, questions, generation)
        finally:
            self._writer.submit(loading.close)

    def _make_room(self) -> None:
        """Let go of the partitions that were not searched for longest, but never of the latest."""
        held = sum(part.snapshot.vectors.size for part in self._owned.values())
        while len(self._owned) > 1 and (held > self._held_chunks or len(self._owned) > HELD_PARTITIONS):
            name, part = self._owned.popitem(last=False)
            held -= part.snapshot.vectors.size
            self._views = {names: view for names, view in self._views.items() if name not in names}

    async def _in(self, thread: ThreadPoolExecutor, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, work, *args)


def _same(left: object, right: object) -> bool:
    return left is right
