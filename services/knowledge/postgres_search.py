"""Search on PostgreSQL: what `SearchIndex` does in one process's memory, for knowledge that outgrew it.

Nothing of the knowledge is kept here but some texts: every process searches the same tables, and sees the change of
another with its next search. Words and vectors find candidates on the server, by its full text search and pgvector,
and are scored there by the formula of `services.knowledge.fusion`; what is found then goes the same way as there.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

import numpy as np
import numpy.typing as npt

from infrastructure.database.engine import Database
from infrastructure.database.models import SHARED
from infrastructure.database.repositories.search import Look
from infrastructure.database.search_tables import SearchTables
from infrastructure.errors import ProviderUnavailable
from infrastructure.lexical.analysis import FORMAT
from services.embeddings import Embeddings
from services.knowledge.bm25 import rarity
from services.knowledge.changes import ChangeCounts
from services.knowledge.confidence import calibration
from services.knowledge.postgres_filling import Addition
from services.knowledge.postgres_served import PostgresServed
from services.knowledge.preference import prefer
from services.knowledge.question_vectors import QuestionVectors
from services.knowledge.records import ChunkRecord
from services.knowledge.reranking import RERANKED, Reranking
from services.knowledge.retrieval import MAX_QUERY_CHARS, Retrieval, Retriever
from services.knowledge.scope import SHARED_SCOPE, Scope
from services.knowledge.search import CURATED_THRESHOLD, TEXT_BYTES
from services.knowledge.served import Batch, ChunkSource
from services.knowledge.store import RecordStore
from services.knowledge.text import TextAnalysis
from services.serving_model import ServingModel

Vectors = npt.NDArray[np.float32]

_KEPT_TERMS = 20_000  # whose rarity is known without asking


class PostgresSearch:
    """Finds passages. It has the methods of `SearchIndex`, and makes its tables with the first that needs them.

    `text_bytes` bounds the chunks kept in memory; others are fetched when a search needs them. `reranking` is None
    where no reranker is to be asked.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        database: Database,
        source: ChunkSource,
        *,
        analysis: TextAnalysis | None = None,
        curated_threshold: float = CURATED_THRESHOLD,
        text_bytes: int = TEXT_BYTES,
        reranking: Reranking | None = None,
    ) -> None:
        self.analysis = analysis or TextAnalysis()
        self.serving = ServingModel(embeddings)
        """Tells with which model's vectors is searched just now."""
        self.lacking = asyncio.Event()
        """Set when something was taken in without its vectors, and is found by words alone until `adopt`."""
        self._changes = ChangeCounts()
        self._database = database
        self._curated_threshold = curated_threshold
        self._records = RecordStore(text_bytes)
        self._reranking = reranking
        self._vectors = QuestionVectors()
        self._served = self._serving(embeddings, source)
        self._adopting = asyncio.Lock()
        self._loaded = False
        self._shared = Look({}, {})
        self._held: dict[str, int] = {}

    @property
    def lexical_generation(self) -> int | None:
        """The generation of the shared knowledge that the tables held when they were last looked at; None when they
        have to be filled."""
        size = self._shared.partitions.get(SHARED)
        return size.generation if size else None

    @property
    def size(self) -> int:
        """How many chunks of the shared knowledge could be found then."""
        size = self._shared.partitions.get(SHARED)
        return size.chunks if size else 0

    @property
    def changes(self) -> int:
        """How often this process has changed something of the knowledge since the start."""
        return self._changes.total

    async def version(self, partitions: Sequence[str]) -> tuple[object, ...] | None:
        """What is another one after each change, by whichever process, of what a search of these partitions finds. None
        while the tables are not known to hold what the database has.
        """
        served = self._served
        await served.ready()
        look = await served.look(partitions)
        sizes = [look.partitions.get(name) for name in partitions]
        if any(size is not None and size.stored and size.generation is None for size in sizes):
            return None
        return (*self._changes.of(partitions), *[(size.generation, size.stored) if size else None for size in sizes])

    def idf(self, term: str) -> float:
        """How rare an analysed term was in the shared knowledge when it was last asked for; a term that few chunks
        hold, and nobody asked for yet, counts as if none did."""
        return rarity(self.size, self._held.get(term, 0))

    async def search(self, query: str, limit: int = 8, scope: Scope = SHARED_SCOPE) -> Retrieval:
        """The passages for `query` in `scope`, best first, at most `limit`."""
        query = query[:MAX_QUERY_CHARS]
        served = self._served
        vector = await self._vectors.asked(served.embeddings, query)
        await served.ready()
        most = max(limit, RERANKED) if self._reranking else limit
        found, look = await served.search(query, vector, most, scope)
        if scope.partitions == (SHARED,):
            self._remember(look)
        if self._reranking:
            found = [await self._reranking.best(query, one, limit) for one in found]
        return prefer(found[1], found[0], limit) if len(found) > 1 else found[0]

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
        """Remove and add chunks of a partition at once; the next search of any process sees all of it. `vectors` has a
        row for each of `added`. It is the last of so many `changes` that made the partition one of `generation`.

        `model` made the vectors; None is the one that serves. Another one's are not taken in: the chunks are found by
        words alone until those of the right one are there, for which `lacking` calls.
        """
        self._changes.note(partition)
        done = False
        while not done:
            served = self._served
            await served.ready()
            async with served.turn(partition):
                if done := served is self._served:  # else another model has taken over meanwhile
                    foreign = model not in (None, served.embeddings.model)
                    if foreign or not added:
                        vectors = np.zeros((len(added), served.tables.dimensions), np.float32)
                    fresh = Addition(added, vectors)
                    whole = await served.filling.replace(partition, removed_rows, fresh, generation, changes)
                    if not whole or (foreign and added):
                        self.lacking.set()
                    await self._after(served, partition)
        self._changes.note(partition)
        self._records.remove(removed_rows)
        self._records.put(added)

    async def withdraw(self, partition: str, rows: Sequence[int], *, generation: int) -> None:
        """Remove chunks of a partition."""
        nothing = np.empty((0, self._served.tables.dimensions), np.float32)
        await self.replace(partition, rows, (), nothing, generation=generation)

    async def load(self, batches: AsyncIterator[Batch], *, generation: int, model: str | None = None) -> None:
        """Take in all of the shared knowledge, in place of what is there: what is missing is added and what is too much
        removed, a batch a transaction. Nothing is read where the tables hold all of `generation` already. `model` made
        the vectors; when it is not the one that serves (None is), the same is read with the vectors of that.
        """
        self._changes.note(SHARED)
        async with self._adopting:
            served = self._served
            if model not in (None, served.embeddings.model):
                batches = served.source.batches(SHARED)
            whole = await self._fill(served, batches, generation)
            await self._after(served, SHARED)
            self._held = await served.common_terms(_KEPT_TERMS)
            self._loaded = True
        self._changes.note(SHARED)
        if not whole:
            self.lacking.set()

    async def adopt(self, embeddings: Embeddings, source: ChunkSource) -> None:
        """Search with another model from now on, or anew with the same. `source` gives its vectors.

        Searches go on meanwhile with what there was. Each model has tables of its own, which stay until `forget`.
        Owners' partitions are read when they are searched.

        Raises:
            ProviderError: the curated questions could not be embedded; nothing has changed.
        """
        async with self._adopting:
            fresh = self._serving(embeddings, source)
            generation = await source.generation(SHARED)
            if self._loaded and not await self._filled(fresh, generation):
                raise ProviderUnavailable("The embedding model did not embed the curated questions.")
            self._served = fresh
            self.serving.embeddings = embeddings
            self._vectors.ask_again()
            # What was changed meanwhile went to the tables of the model before.
            while self._loaded and (latest := await source.generation(SHARED)) != generation:
                generation = latest
                if not await self._filled(fresh, generation):
                    self.lacking.set()
        self._changes.note_all()

    def held(self) -> dict[str, int]:
        """The generation of the shared knowledge that was there when it was last looked at."""
        size = self._shared.partitions.get(SHARED)
        return {SHARED: size.stored if size else 0} if self._loaded else {}

    async def bring(self, partition: str) -> None:
        """Look at the shared knowledge again: another process has changed it."""
        await self._after(self._served, partition)

    @property
    def torn(self) -> bool:
        """Whether the tables lacked something of the shared knowledge when they were last looked at."""
        size = self._shared.partitions.get(SHARED)
        return self._loaded and size is not None and size.stored != (size.generation or 0)

    async def mend(self) -> None:
        """Bring the tables up to date with the database, where a process may have died at it."""
        if self._loaded:
            served = self._served
            if not await self._fill(served, served.source.batches(SHARED), await served.source.generation(SHARED)):
                self.lacking.set()
            await self._after(served, SHARED)

    async def forget(self, model: str, dimensions: int) -> None:
        """Drop the tables of a model with which no process searches any more."""
        await SearchTables.of(model, dimensions, FORMAT).drop(self._database)

    async def aclose(self) -> None:
        """There is nothing to give back."""

    async def _filled(self, served: PostgresServed, generation: int) -> bool:
        """Bring the tables to what the database has; whether the curated questions have their vectors."""
        whole = await self._fill(served, served.source.batches(SHARED), generation)
        await served.filling.doubt_lacking()
        await self._after(served, SHARED)
        return whole

    async def _fill(self, served: PostgresServed, batches: AsyncIterator[Batch], generation: int) -> bool:
        whole = True
        await served.ready()
        async with served.turn(SHARED):
            if not await served.filling.is_whole(SHARED, generation):
                whole = await served.filling.fill(SHARED, batches, generation)
            await served.tables.build_indexes(self._database)
        return whole

    def _serving(self, embeddings: Embeddings, source: ChunkSource) -> PostgresServed:
        retriever = Retriever(self.analysis, self._curated_threshold, calibration(embeddings.model))
        return PostgresServed(
            self._database,
            embeddings,
            source,
            retriever,
            self._curated_threshold,
            self.analysis,
            self._records,
            self._vectors,
        )

    async def _after(self, served: PostgresServed, partition: str) -> None:
        if partition == SHARED:
            self._remember(await served.look((SHARED,)))

    def _remember(self, look: Look) -> None:
        self._shared = look
        if len(self._held) > 2 * _KEPT_TERMS:
            self._held.clear()
        self._held.update(look.held)
