"""The search index: the knowledge as search sees it, in step with the database.

It is kept in partitions. The shared knowledge's is here from the start; an owner's files are read from the database
when they are first searched, and leave memory when others need the room. A search is given the partitions that it may
see and meets no other. What it reads is a snapshot of each, which a change replaces as a whole, so a search sees all of
a change or none of it. Another embedding model takes over as a whole as well: no search ever mixes two.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import structlog
from sqlalchemy.exc import SQLAlchemyError

from infrastructure.database.models import SHARED
from infrastructure.errors import ProviderUnavailable
from infrastructure.lexical.tantivy import LexicalIndex
from services.embeddings import Embeddings
from services.knowledge.changes import ChangeCounts
from services.knowledge.confidence import calibration
from services.knowledge.partition import Change, Partition
from services.knowledge.partition_writer import PartitionWriter
from services.knowledge.preference import prefer
from services.knowledge.question_vectors import QuestionVectors
from services.knowledge.records import ChunkRecord
from services.knowledge.reranking import RERANKED, Reranking
from services.knowledge.retrieval import MAX_QUERY_CHARS, Ranking, Retrieval, Retriever
from services.knowledge.scope import SHARED_SCOPE, Scope
from services.knowledge.served import Batch, ChunkSource, Served
from services.knowledge.snapshot import View
from services.knowledge.store import RecordStore
from services.knowledge.text import TextAnalysis
from services.knowledge.views import Views
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
FRESH_SECONDS = 1.0  # that a search waits for what other processes have changed
CURATED_THRESHOLD = 0.7


class SearchIndex:
    """Finds passages. Long searches run in one thread and changes in another, so neither holds up the event loop.

    `text_bytes` bounds the chunks kept in memory; others are fetched when a search needs them. `held_chunks` bounds the
    owners' partitions. `reranking` is None where no reranker is to be asked. `alone`: no other process changes what the
    database has; else a search of owners' files asks first whether one did.
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
        alone: bool = True,
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
        self._alone = alone
        self._vectors = QuestionVectors()
        self._reading: set[asyncio.Task[Any]] = set()
        self._views = Views(HELD_PARTITIONS)
        self._changing = asyncio.Lock()
        self._changes = ChangeCounts()
        self._searcher = ThreadPoolExecutor(1, "search")
        self._writer = PartitionWriter(self._records, self._vectors)

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
        return self._views.of((SHARED,), (self._served.shared.snapshot,)).idf(term)

    async def search(self, query: str, limit: int = 8, scope: Scope = SHARED_SCOPE) -> Retrieval:
        """The passages for `query` in `scope`, best first, at most `limit`."""
        query = query[:MAX_QUERY_CHARS]
        served = self._served
        parts = (served.shared,) if scope.partitions == (SHARED,) else await self._parts(served, scope.partitions)
        vector = await self._vectors.asked(served.embeddings, query)
        view = self._views.of(scope.partitions, tuple(part.snapshot for part in parts))
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
        changes: int = 1,
    ) -> None:
        """Remove and add chunks of a partition at once; the next search sees all of it. `vectors` has a row for each of
        `added`. A partition that is not in memory will be read with the change, as the database has it already. It is
        the last of so many `changes` that made the partition one of `generation`.

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
                    change = Change(removed_rows, added, vectors, questions, generation, changes)
                    await self._replace(served, partition, change)
                    if not whole or (foreign and added):
                        self.lacking.set()
        self._changes.note(partition)
        self._make_room(served)

    async def _replace(self, served: Served, partition: str, change: Change) -> None:
        if partition in served.loading:
            await asyncio.wait([served.loading[partition]])
        part = served.part(partition)
        if part is not None:
            await self._writer.change(part, change)
        self._records.remove(change.removed)

    async def withdraw(self, partition: str, rows: Sequence[int], *, generation: int) -> None:
        """Remove chunks of a partition."""
        nothing = np.empty((0, self._served.dimensions), np.float32)
        await self.replace(partition, rows, (), nothing, generation=generation)

    async def load(self, batches: AsyncIterator[Batch], *, generation: int, model: str | None = None) -> None:
        """Take in all of the shared knowledge, in place of what is there. The lexical index is built anew only where it
        does not hold `generation` already. `model` made the vectors; when it is not the one that serves (None is), the
        same is read with the vectors of that. An index of some generations before is not built anew, but brought up to
        date, where it can be told what has changed.
        """
        self._changes.note(SHARED)
        async with self._changing:
            served = self._served
            if model not in (None, served.embeddings.model):
                batches = served.source.batches(SHARED)
            there = self._lexical.generation
            if not self._alone and there and await served.source.tells(SHARED, there, generation):
                generation = there
            whole = await self._writer.load(served.shared, batches, generation, served.embeddings)
            self._loaded = True
        self._changes.note(SHARED)
        if not whole:
            self.lacking.set()
        if not self._alone:
            await self.bring(SHARED)
            await self._check_words()

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
                whole = await self._writer.load(fresh.shared, source.batches(SHARED), generation, embeddings)
                if not whole:
                    raise ProviderUnavailable("The embedding model did not embed the curated questions.")
            self._served = fresh
            self.serving.embeddings = embeddings
            self._vectors.ask_again()
        self._changes.note_all()

    def held(self) -> dict[str, int]:
        """The generation of each partition that is in memory."""
        served = self._served
        shared = {SHARED: served.shared.held.whole} if self._loaded else {}
        return shared | {name: part.held.whole for name, part in served.owned.items()}

    async def mend(self) -> None:
        """There is nothing that processes share."""

    @property
    def torn(self) -> bool:
        return False

    async def bring(self, partition: str) -> None:
        """Take in what other processes have changed of a partition that is in memory: what differs, or, where that
        cannot be told, the shared one as a whole; an owner's then leaves memory, and is read when it is searched.
        """
        while await self._bring_some(partition):
            """A part at a time, so that this process's own changes get their turn."""

    async def _check_words(self) -> None:
        """Build the lexical index anew if it is not one of these chunks: a folder may come from another database."""
        async with self._changing:
            served = self._served
            shared, generation = served.shared, served.shared.held.whole
            if shared.snapshot.lexical.size != shared.snapshot.vectors.size:
                log.warning("lexical index does not fit", chunks=shared.snapshot.vectors.size)
                self._lexical.doubt()
                await self._writer.load(shared, served.source.batches(SHARED), generation, served.embeddings)

    async def _bring_some(self, partition: str) -> bool:
        """Whether there may be more."""
        async with self._changing:
            served = self._served
            part = served.part(partition)
            stored = await served.source.generation(partition)
            if part is None or part.held.whole == stored:
                return False
            self._changes.note(partition)
            found = await served.source.changes(partition, part.held.whole, part.rows_of)
            whole = True
            if found is not None:
                whole = await self._writer.take_in(part, found, served.embeddings)
            elif partition == SHARED:
                whole = await self._writer.load(part, served.source.batches(SHARED), stored, served.embeddings)
            else:
                served.owned.pop(partition, None)
                self._views.forget(partition)
            self._changes.note(partition)
        if not whole:
            self.lacking.set()
        self._make_room(served)
        return found is not None

    async def aclose(self) -> None:
        """End the threads and give up the index folder."""
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)
        await self._writer.aclose()
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
            found = await self._in_thread(self._search, served, view, query, vector, limit, only)
        if isinstance(found, Retrieval):
            return found
        rows = found.rows()
        records = self._records.get(rows)
        fetched = await served.source.fetch([row for row in rows if row not in records])
        self._records.put(fetched)
        records.update((record.row, record) for record in fetched)
        return await self._in_thread(served.retriever.finish, found, records)

    def _search(
        self, served: Served, view: View, query: str, vector: Vectors, limit: int, only: frozenset[str] | None
    ) -> Retrieval | Ranking:
        """The whole search, or the first half of one that needs records from the database."""
        ranking = served.retriever.rank(view, query, vector, limit, only)
        rows = ranking.rows()
        records = self._records.get(rows)
        return served.retriever.finish(ranking, records) if len(records) == len(rows) else ranking

    async def _parts(self, served: Served, names: Sequence[str]) -> tuple[Partition, ...]:
        if not self._alone and (owned := [name for name in names if name in served.owned]):
            task = asyncio.create_task(self._freshen(served, owned))
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)
            with suppress(TimeoutError):  # it goes on, and a later search finds what has come
                async with asyncio.timeout(FRESH_SECONDS):
                    await asyncio.shield(task)
        return tuple([served.shared if name == SHARED else await self._owned_part(served, name) for name in names])

    async def _freshen(self, served: Served, names: Sequence[str]) -> None:
        try:
            stored = await served.source.generations(names)
            for name in names:
                part = served.owned.get(name)
                if part is not None and part.held.whole != stored.get(name, 0):
                    await self.bring(name)
        except SQLAlchemyError as error:
            log.warning("owners' files may be outdated", error=type(error).__name__)

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
        if not await self._writer.load(part, served.source.batches(name), generation, served.embeddings):
            self.lacking.set()
        served.owned[name] = part
        self._make_room(served)
        return part

    def _make_room(self, served: Served) -> None:
        """Let go of the partitions that were not searched for longest, but never of the latest."""
        held = sum(part.snapshot.vectors.size for part in served.owned.values())
        while len(served.owned) > 1 and (held > self._held_chunks or len(served.owned) > HELD_PARTITIONS):
            name, part = served.owned.popitem(last=False)
            held -= part.snapshot.vectors.size
            self._views.forget(name)

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._searcher, work, *args)
