"""What is searched on PostgreSQL with one embedding model: its tables, its calibration, its source of chunks."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from infrastructure.database.engine import Database
from infrastructure.database.models import SHARED
from infrastructure.database.repositories.search import Look, SearchRepository
from infrastructure.database.search_tables import SearchTables
from infrastructure.lexical.analysis import FORMAT
from services.embeddings import Embeddings
from services.knowledge.postgres_filling import Filling
from services.knowledge.postgres_ranking import Half, PostgresRanking
from services.knowledge.question_vectors import QuestionVectors
from services.knowledge.retrieval import Retrieval, Retriever
from services.knowledge.scope import Scope
from services.knowledge.served import ChunkSource
from services.knowledge.store import RecordStore
from services.knowledge.text import TextAnalysis

Vectors = npt.NDArray[np.float32]


class PostgresServed:
    """A search takes it once, when it begins, and stays with it."""

    def __init__(
        self,
        database: Database,
        embeddings: Embeddings,
        source: ChunkSource,
        retriever: Retriever,
        curated_threshold: float,
        analysis: TextAnalysis,
        records: RecordStore,
        vectors: QuestionVectors,
    ) -> None:
        self.embeddings = embeddings
        self.source = source
        self.tables = SearchTables.of(embeddings.model, embeddings.dimensions, FORMAT)
        self.filling = Filling(database, self.tables, embeddings, analysis, vectors)
        self._database = database
        self._retriever = retriever
        self._curated_threshold = curated_threshold
        self._analysis = analysis
        self._records = records
        self._made = False
        self._making = asyncio.Lock()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def ready(self) -> None:
        """Make the tables where they are missing."""
        if not self._made:
            async with self._making:
                await self.tables.make(self._database)
                self._made = True

    @asynccontextmanager
    async def turn(self, partition: str) -> AsyncIterator[None]:
        """Changes of a partition by this process are made in the order of coming."""
        async with self._turns.setdefault(partition, asyncio.Lock()):
            yield

    async def look(self, partitions: Sequence[str], terms: Sequence[str] = ()) -> Look:
        async with self._database.read() as session:
            return await SearchRepository(session, self.tables).look(partitions, terms)

    async def common_terms(self, limit: int) -> dict[str, int]:
        """The terms that most chunks of the shared knowledge hold, and how many do."""
        async with self._database.read() as session:
            return await SearchRepository(session, self.tables).common_terms(SHARED, limit)

    async def search(self, query: str, vector: Vectors, limit: int, scope: Scope) -> tuple[list[Retrieval], Look]:
        """What is found in `scope`, then what is found where it looks first, if there is such a place.

        An owner's partition that the tables do not hold as it is in the database is brought there before.
        """
        terms = tuple(dict.fromkeys(self._analysis.terms(query)))
        ranking = PostgresRanking(self._analysis, query, terms, vector, limit, time.perf_counter())
        halves, look = await self._halves(ranking, scope, patient=False)
        if behind := _behind(look):
            for partition, stored in behind.items():
                await self._catch_up(partition, stored)
            halves, look = await self._halves(ranking, scope, patient=True)
        return [await self._finished(half) for half in halves], look

    async def _halves(self, ranking: PostgresRanking, scope: Scope, *, patient: bool) -> tuple[list[Half], Look]:
        """The searches up to where texts are needed; none when a partition is behind and it is not `patient`."""
        kept: list[Collection[str] | None] = [scope.only]
        if scope.first and scope.only is None:
            kept.append(scope.first)
        async with self._database.read() as session:
            repository = SearchRepository(session, self.tables)
            look = await repository.look(scope.partitions, ranking.terms)
            if _behind(look) and not patient:
                return [], look
            return [await ranking.half(repository, look, only) for only in kept], look

    async def _finished(self, half: Half) -> Retrieval:
        """What is left of a search, with the texts."""
        rows = half.rows()
        records = self._records.get(rows)
        if missing := [row for row in rows if row not in records]:
            fetched = await self.source.fetch(missing)
            self._records.put(fetched)
            records.update((record.row, record) for record in fetched)
        curated = half.close(records, self._curated_threshold)
        held: dict[str, int] = {}
        if terms := [term for term in half.terms_of(curated) if term not in half.look.held]:
            async with self._database.read() as session:
                held = await SearchRepository(session, self.tables).held(list(half.look.partitions), terms)
        ranking = half.finished(curated, held, self._curated_threshold)
        if missing:  # their analysis takes a millisecond or more
            return await asyncio.to_thread(self._retriever.finish, ranking, records)
        return self._retriever.finish(ranking, records)

    async def _catch_up(self, partition: str, stored: int) -> None:
        """Bring an owner's partition to what the database has of it."""
        async with self.turn(partition):
            if partition in _behind(await self.look((partition,))):  # nobody did it meanwhile
                await self.filling.fill(partition, self.source.batches(partition), stored)


def _behind(look: Look) -> dict[str, int]:
    """The owners' partitions that the tables do not hold as they are, and how often each has changed. The shared
    knowledge's has an indexer, which knows it better."""
    return {
        name: size.stored
        for name, size in look.partitions.items()
        if name != SHARED and size.stored > (size.generation or 0)
    }
