"""Search on PostgreSQL: what `SearchIndex` does in one process's memory, for knowledge that outgrew it.

Nothing of the knowledge is kept here but some texts: every process searches the same tables, and sees the change of
another with its next search. Words and vectors find candidates on the server, by its full text search and pgvector,
and are scored there by the formula of `services.knowledge.fusion`; what is found then goes the same way as there.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.engine import Database
from infrastructure.database.models import SHARED
from infrastructure.database.repositories.search import Look, SearchRepository
from infrastructure.database.search_tables import SearchTables
from infrastructure.errors import ProviderError
from infrastructure.lexical.analysis import FORMAT
from services.embeddings import Embeddings
from services.knowledge.bm25 import rarity
from services.knowledge.confidence import calibration
from services.knowledge.postgres_filling import Filling
from services.knowledge.postgres_ranking import Half, PostgresRanking
from services.knowledge.preference import prefer
from services.knowledge.records import ChunkRecord
from services.knowledge.retrieval import MAX_QUERY_CHARS, Retrieval, Retriever
from services.knowledge.scope import SHARED_SCOPE, Scope
from services.knowledge.search import CURATED_THRESHOLD, TEXT_BYTES, Batch, ChunkSource
from services.knowledge.store import RecordStore
from services.knowledge.text import TextAnalysis

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
Vectors = npt.NDArray[np.float32]

_KEPT_TERMS = 20_000  # whose rarity is known without asking


class PostgresSearch:
    """Finds passages. It has the methods of `SearchIndex`, and makes its tables with the first that needs them.

    `text_bytes` bounds the chunks kept in memory; others are fetched when a search needs them.
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
    ) -> None:
        self.analysis = analysis or TextAnalysis()
        self._embeddings = embeddings
        self._database = database
        self._source = source
        self._retriever = Retriever(self.analysis, curated_threshold, calibration(embeddings.model))
        self._curated_threshold = curated_threshold
        self._records = RecordStore(text_bytes)
        self._made: SearchTables | None = None
        self._making = asyncio.Lock()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._held: dict[str, int] = {}
        self._shared = Look({}, {})

    @property
    def lexical_generation(self) -> int | None:
        """The generation that the tables held of the shared knowledge when they were last looked at; None when it has
        to be filled in."""
        size = self._shared.partitions.get(SHARED)
        return size.generation if size else None

    @property
    def size(self) -> int:
        """How many chunks of the shared knowledge could be found then."""
        size = self._shared.partitions.get(SHARED)
        return size.chunks if size else 0

    def idf(self, term: str) -> float:
        """How rare an analysed term was in the shared knowledge when it was last asked for; a term that nobody asked
        for yet, and few chunks hold, counts as if none did."""
        return rarity(self.size, self._held.get(term, 0))

    async def search(self, query: str, limit: int = 8, scope: Scope = SHARED_SCOPE) -> Retrieval:
        """The passages for `query` in `scope`, best first, at most `limit`."""
        query = query[:MAX_QUERY_CHARS]
        vector = self._embeddings.query_now(query)
        if vector is None:
            vector = await self._embedded(query)
        tables = await self._tables()
        halves = await self._halves(tables, query, vector, limit, scope)
        found = [await self._finished(tables, half) for half in halves]
        return prefer(found[1], found[0], limit) if len(found) > 1 else found[0]

    async def replace(
        self,
        partition: str,
        removed_rows: Sequence[int],
        added: Sequence[ChunkRecord],
        vectors: Vectors,
        *,
        generation: int,
    ) -> None:
        """Remove and add chunks of a partition at once; the next search of any process sees all of it. `vectors` has a
        row for each of `added`."""
        filling = await self._filling()
        async with self._turn(partition):
            await filling.replace(partition, removed_rows, added, vectors, generation)
            self._records.remove(removed_rows)
            self._records.put(added)
            await self._look_at_shared(partition)

    async def withdraw(self, partition: str, rows: Sequence[int], *, generation: int) -> None:
        """Remove chunks of a partition."""
        nothing = np.empty((0, self._embeddings.dimensions), np.float32)
        await self.replace(partition, rows, (), nothing, generation=generation)

    async def load(self, batches: AsyncIterator[Batch], *, generation: int) -> None:
        """Take in all of the shared knowledge, in place of what is there: what is missing is added and what is too much
        removed, a batch a transaction. Nothing is read where the tables hold `generation` already.
        """
        filling = await self._filling()
        async with self._turn(SHARED):
            await self._look_at_shared(SHARED)
            if self.lexical_generation != generation:
                await filling.fill(SHARED, batches, generation)
            await filling.tables.build_indexes(self._database)
            await self._look_at_shared(SHARED)
            async with self._database.read() as session:
                self._held = await SearchRepository(session, filling.tables).common_terms(SHARED, _KEPT_TERMS)

    async def aclose(self) -> None:
        """There is nothing to give back."""

    async def _halves(self, tables: SearchTables, query: str, vector: Vectors, limit: int, scope: Scope) -> list[Half]:
        """The search in `scope`, and then the one in what is looked at first, if there is such; up to where texts are
        needed. An owner's partition that is not in the tables as it is in the database is brought there before."""
        terms = tuple(dict.fromkeys(self.analysis.terms(query)))
        ranking = PostgresRanking(self.analysis, query, terms, vector, limit, time.perf_counter())
        async with self._database.read() as session:
            look = await self._look(session, tables, scope.partitions, terms)
            if not (behind := _behind(look)):
                return await self._ranked(ranking, look, SearchRepository(session, tables), scope)
        for partition, stored in behind.items():
            await self._catch_up(partition, stored)
        async with self._database.read() as session:
            look = await self._look(session, tables, scope.partitions, terms)
            return await self._ranked(ranking, look, SearchRepository(session, tables), scope)

    async def _ranked(
        self, ranking: PostgresRanking, look: Look, repository: SearchRepository, scope: Scope
    ) -> list[Half]:
        kept: list[Collection[str] | None] = [scope.only]
        if scope.first and scope.only is None:
            kept.append(scope.first)
        return [await ranking.half(repository, look, only) for only in kept]

    async def _look(
        self, session: AsyncSession, tables: SearchTables, partitions: Sequence[str], terms: Sequence[str]
    ) -> Look:
        look = await SearchRepository(session, tables).look(partitions, terms)
        if tuple(partitions) == (SHARED,):
            self._remember(look, terms)
        return look

    def _remember(self, look: Look, terms: Sequence[str]) -> None:
        self._shared = look
        if len(self._held) > 2 * _KEPT_TERMS:
            self._held.clear()
        self._held.update((term, look.held.get(term, 0)) for term in terms)

    async def _finished(self, tables: SearchTables, half: Half) -> Retrieval:
        """What is left of a search, with the texts."""
        rows = half.rows()
        records = self._records.get(rows)
        if missing := [row for row in rows if row not in records]:
            fetched = await self._source.fetch(missing)
            self._records.put(fetched)
            records.update((record.row, record) for record in fetched)
        curated = half.close(records, self._curated_threshold)
        held: dict[str, int] = {}
        if terms := [term for term in half.terms_of(curated) if term not in half.look.held]:
            async with self._database.read() as session:
                held = await SearchRepository(session, tables).held(list(half.look.partitions), terms)
        ranking = half.finished(curated, held, self._curated_threshold)
        if missing:  # their analysis takes a millisecond or more
            return await asyncio.to_thread(self._retriever.finish, ranking, records)
        return self._retriever.finish(ranking, records)

    async def _embedded(self, query: str) -> Vectors:
        """The question's vector; zeros when the model is away, so that words alone find what they can."""
        try:
            return await self._embeddings.query(query)
        except ProviderError as error:
            log.warning("question not embedded", kind=error.kind)
            return np.zeros(self._embeddings.dimensions, np.float32)

    async def _catch_up(self, partition: str, stored: int) -> None:
        """Bring an owner's partition to what the database has of it."""
        filling = await self._filling()
        async with self._turn(partition):
            async with self._database.read() as session:
                look = await SearchRepository(session, filling.tables).look((partition,), ())
            if partition in _behind(look):  # nobody did it meanwhile
                await filling.fill(partition, self._source.batches(partition), stored)

    async def _look_at_shared(self, partition: str) -> None:
        if partition == SHARED:
            async with self._database.read() as session:
                self._shared = await SearchRepository(session, await self._tables()).look((SHARED,), ())

    async def _filling(self) -> Filling:
        return Filling(self._database, await self._tables(), self._embeddings, self.analysis)

    async def _tables(self) -> SearchTables:
        if self._made is None:
            async with self._making:
                if self._made is None:
                    tables = SearchTables.of(self._embeddings.model, self._embeddings.dimensions, FORMAT)
                    await tables.make(self._database)
                    self._made = tables
        return self._made

    def _turn(self, partition: str) -> asyncio.Lock:
        """The lock for changes of a partition: those of this process are made in the order of coming."""
        return self._turns.setdefault(partition, asyncio.Lock())


def _behind(look: Look) -> dict[str, int]:
    """The owners' partitions that the tables do not hold as they are, and how often each has changed. The shared
    knowledge's has an indexer, which knows it better."""
    return {
        name: size.stored
        for name, size in look.partitions.items()
        if name != SHARED and size.stored > (size.generation or 0)
    }
