"""The search index: the knowledge as search sees it, in step with the database.

It is kept in partitions. The shared knowledge's is here from the start; an owner's files are read from the database
when they are first searched, and leave memory when others need the room. A search is given the partitions that it may
see and meets no other. What it reads is a snapshot of each, which a change replaces as a whole, so a search sees all of
a change or none of it. Another embedding model takes over as a whole as well: no search ever mixes two.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import structlog

from infrastructure.database.models import SHARED
from infrastructure.errors import ProviderUnavailable
from infrastructure.lexical.tantivy import LexicalIndex
from services.embeddings import Embeddings
from services.knowledge.changes import ChangeCounts
from services.knowledge.confidence import calibration
from services.knowledge.partition import Loading, Partition
from services.knowledge.preference import prefer
from services.knowledge.question_vectors import QuestionVectors
from services.knowledge.records import ChunkRecord
from services.knowledge.reranking import RERANKED, Reranking
from services.knowledge.retrieval import MAX_QUERY_CHARS, Ranking, Retrieval, Retriever
from services.knowledge.scope import SHARED_SCOPE, Scope
from services.knowledge.served import Batch, ChunkSource, Served
from services.knowledge.snapshot import Snapshot, View
from services.knowledge.store import RecordStore
from services.knowledge.text import TextAnalysis
from services.serving_model import ServingModel

__all__ = ["Batch", "ChunkSource", "Retrieval", "SearchIndex"]

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
Vectors = npt.NDArray[np.float32]
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


class SearchIndex:
    """Finds passages. Long searches run in one thread and changes in another, so neither holds up the event loop.

    `text_bytes` bounds the chunks kept in memory; others are fetched when a search needs them. `held_chunks` bounds the
    owners' partitions. `reranking` is None where no reranker is to be asked.
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
        reranking: Reranking | None = None,
    ) -> None:
        self.analysis = analysis or TextAnalysis()
        self._curated_threshold = curated_threshold
        self._lexical = lexical
        self._served = self._serving(embeddings, source)
        self.serving = ServingModel(embeddings)
        """Tells with which model's vectors is searched just now."""
        self.lacking = asyncio.Event()
        """Set when something was taken in without its vectors, and is found by words alone until `adopt`."""
        self._loaded = False
        self._records = RecordStore(text_bytes)
        self._held_chunks = held_chunks
        self._reranking = reranking
        self._vectors = QuestionVectors()
        self._reading: set[asyncio.Task[Partition]] = set()
        self._views: dict[tuple[str, ...], tuple[tuple[Snapshot, ...], View]] = {}
        self._changing = asyncio.Lock()
        self._changes = ChangeCounts()
        self._searcher = ThreadPoolExecutor(1, "search")
        self._writer = ThreadPoolExecutor(1, "index")

    @property
    def lexical_generation(self) -> int | None:
        """The generation that the shared lexical index on disk holds; None when it has to be built."""
        return self._lexical.generation

    @property
    def size(self) -> int:
        """How many chunks of the shared knowledge can be found."""
        return self._served.shared.snapshot.vectors.size

    @property
    def changes(self) -> int:
        """How often something of the knowledge has changed since the start."""
        return self._changes.total

    async def version(self, partitions: Sequence[str]) -> tuple[int, ...]:
        """What is another one after each change of what a search of these partitions finds."""
        return self._changes.of(partitions)

    def idf(self, term: str) -> float:
        """How rare an analysed term is in the shared knowledge as it is now."""
        return self._view((SHARED,), (self._served.shared.snapshot,)).idf(term)

    async def search(self, query: str, limit: int = 8, scope: Scope = SHARED_SCOPE) -> Retrieval:
        """The passages for `query` in `scope`, best first, at most `limit`."""
        query = query[:MAX_QUERY_CHARS]
        served = self._served
        parts = (served.shared,) if scope.partitions == (SHARED,) else await self._parts(served, scope.partitions)
        vector = await self._vectors.asked(served.embeddings, query)
        view = self._view(scope.partitions, tuple(part.snapshot for part in parts))
        found = await self._best(served, view, query, vector, limit, scope.only)
        if scope.first and scope.only is None:
            first = await self._best(served, view, query, vector, limit, scope.first)
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
        model: str | None = None,
    ) -> None:
        """Remove and add chunks of a partition at once; the next search sees all of it. `vectors` has a row for each of
        `added`. A partition that is not in memory will be read with the change, as the database has it already.

        `model` made the vectors; None is the one that serves. Another one's are not taken in: the chunks are found by
        words alone until those of the right one are there, for which `lacking` calls.
        """
        self._changes.note(partition)
        done = False
        while not done:
            served = self._served
            asked = [record.question for record in added if record.question]
            questions, whole = await self._vectors.curated(served.embeddings, asked)
            async with self._changing:
                if done := served is self._served:  # else another model has taken over meanwhile
                    foreign = model not in (None, served.embeddings.model)
                    if foreign or not added:
                        vectors = np.zeros((len(added), served.dimensions), np.float32)
                    await self._replace(served, partition, removed_rows, added, vectors, questions, generation)
                    if not whole or (foreign and added):
                        self.lacking.set()
        self._changes.note(partition)
        self._make_room(served)

    async def _replace(
        self,
        served: Served,
        partition: str,
        removed: Sequence[int],
        added: Sequence[ChunkRecord],
        vectors: Vectors,
        questions: Vectors,
        generation: int,
    ) -> None:
        if partition in served.loading:
            await asyncio.wait([served.loading[partition]])
        part = served.shared if partition == SHARED else served.owned.get(partition)
        if part is not None:
            await self._in(self._writer, part.replace, removed, added, vectors, questions, generation)
            self._records.put(added)
        self._records.remove(removed)

    async def withdraw(self, partition: str, rows: Sequence[int], *, generation: int) -> None:
        """Remove chunks of a partition."""
        nothing = np.empty((0, self._served.dimensions), np.float32)
        await self.replace(partition, rows, (), nothing, generation=generation)

    async def load(self, batches: AsyncIterator[Batch], *, generation: int, model: str | None = None) -> None:
        """Take in all of the shared knowledge, in place of what is there. The lexical index is built anew only where it
        does not hold `generation` already. `model` made the vectors; when it is not the one that serves (None is), the
        same is read with the vectors of that.
        """
        self._changes.note(SHARED)
        async with self._changing:
            served = self._served
            if model not in (None, served.embeddings.model):
                batches = served.source.batches(SHARED)
            whole = await self._load(served.shared, batches, generation, served.embeddings)
            self._loaded = True
        self._changes.note(SHARED)
        if not whole:
            self.lacking.set()

    async def adopt(self, embeddings: Embeddings, source: ChunkSource) -> None:
        """Search with another model from now on, or anew with the same. `source` gives its vectors.

        Searches go on meanwhile with what there was, changes wait. Words are not read again: the lexical index stays,
        and what was committed after it comes by `replace`, as ever. Owners' partitions are read when they are searched.

        Raises:
            ProviderError: the curated questions could not be embedded; nothing has changed.
        """
        async with self._changing:
            fresh = self._serving(embeddings, source)
            generation = self._lexical.generation
            if self._loaded and generation is not None:
                whole = await self._load(fresh.shared, source.batches(SHARED), generation, embeddings)
                if not whole:
                    raise ProviderUnavailable("The embedding model did not embed the curated questions.")
            self._served = fresh
            self.serving.embeddings = embeddings
            self._vectors.ask_again()
        self._changes.note_all()

    async def aclose(self) -> None:
        """End the threads and give up the index folder."""
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)
        await asyncio.to_thread(self._writer.shutdown)
        await asyncio.to_thread(self._searcher.shutdown)
        self._lexical.close()

    def _serving(self, embeddings: Embeddings, source: ChunkSource) -> Served:
        """Everything that is of one model, without chunks yet."""
        retriever = Retriever(self.analysis, self._curated_threshold, calibration(embeddings.model))
        return Served(embeddings, source, retriever, Partition(self._lexical, embeddings.dimensions))

    async def _best(
        self, served: Served, view: View, query: str, vector: Vectors, limit: int, only: frozenset[str] | None
    ) -> Retrieval:
        if self._reranking is None:
            return await self._find(served, view, query, vector, limit, only)
        found = await self._find(served, view, query, vector, max(limit, RERANKED), only)
        return await self._reranking.best(query, found, limit)

    async def _find(
        self, served: Served, view: View, query: str, vector: Vectors, limit: int, only: frozenset[str] | None
    ) -> Retrieval:
        if view.size <= INLINE_CHUNKS:
            found = self._search(served, view, query, vector, limit, only)
        else:
            found = await self._in(self._searcher, self._search, served, view, query, vector, limit, only)
        if isinstance(found, Retrieval):
            return found
        rows = found.rows()
        records = self._records.get(rows)
        fetched = await served.source.fetch([row for row in rows if row not in records])
        self._records.put(fetched)
        records.update((record.row, record) for record in fetched)
        return await self._in(self._searcher, served.retriever.finish, found, records)

    def _search(
        self, served: Served, view: View, query: str, vector: Vectors, limit: int, only: frozenset[str] | None
    ) -> Retrieval | Ranking:
        """The whole search, or the first half of one that needs records from the database."""
        ranking = served.retriever.rank(view, query, vector, limit, only)
        rows = ranking.rows()
        records = self._records.get(rows)
        return served.retriever.finish(ranking, records) if len(records) == len(rows) else ranking

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

    async def _parts(self, served: Served, names: Sequence[str]) -> tuple[Partition, ...]:
        return tuple([served.shared if name == SHARED else await self._owned_part(served, name) for name in names])

    async def _owned_part(self, served: Served, name: str) -> Partition:
        part = served.owned.get(name)
        if part is None:
            task = served.loading.get(name)
            if task is None:
                task = served.loading[name] = asyncio.create_task(self._read(served, name))
                self._reading.add(task)
                task.add_done_callback(lambda _: served.loading.pop(name, None))
                task.add_done_callback(self._reading.discard)
            part = await asyncio.shield(task)
        if name in served.owned:
            served.owned.move_to_end(name)
        return part

    async def _read(self, served: Served, name: str) -> Partition:
        """Bring a partition into memory. Changes to it wait until it is there, and are made once more then."""
        part = Partition(LexicalIndex(None), served.dimensions)
        generation = await served.source.generation(name)
        if not await self._load(part, served.source.batches(name), generation, served.embeddings):
            self.lacking.set()
        served.owned[name] = part
        self._make_room(served)
        return part

    async def _load(
        self, part: Partition, batches: AsyncIterator[Batch], generation: int, embeddings: Embeddings
    ) -> bool:
        """Take in all of a partition; whether the curated questions have their vectors, as `_questions` says."""
        loading = Loading(part.lexical if part.lexical.generation != generation else None)
        try:
            async for records, vectors in batches:
                await self._in(self._writer, loading.add, records, vectors)
                self._records.put(records)
            asked = [record.question or "" for record in loading.curated]
            questions, whole = await self._vectors.curated(embeddings, asked)
            await self._in(self._writer, part.load, loading, questions, generation)
        finally:
            self._writer.submit(loading.close)
        return whole

    def _make_room(self, served: Served) -> None:
        """Let go of the partitions that were not searched for longest, but never of the latest."""
        held = sum(part.snapshot.vectors.size for part in served.owned.values())
        while len(served.owned) > 1 and (held > self._held_chunks or len(served.owned) > HELD_PARTITIONS):
            name, part = served.owned.popitem(last=False)
            held -= part.snapshot.vectors.size
            self._views = {names: view for names, view in self._views.items() if name not in names}

    async def _in(self, thread: ThreadPoolExecutor, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, work, *args)


def _same(left: object, right: object) -> bool:
    return left is right
