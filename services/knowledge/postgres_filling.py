"""How chunks come into the tables that PostgreSQL searches in."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import numpy as np
import numpy.typing as npt

from infrastructure.database.engine import Database
from infrastructure.database.repositories.search_changes import SearchChanges
from infrastructure.database.search_tables import SearchTables
from services.embeddings import Embeddings
from services.knowledge.records import ChunkRecord
from services.knowledge.search import Batch
from services.knowledge.search_entries import Entries, entries
from services.knowledge.text import TextAnalysis

Vectors = npt.NDArray[np.float32]
_ROWS_A_REMOVAL = 5000


class Filling:
    """Adds and removes. Texts are analysed and embedded before a transaction begins; each is one of its own."""

    def __init__(
        self, database: Database, tables: SearchTables, embeddings: Embeddings, analysis: TextAnalysis
    ) -> None:
        self.tables = tables
        self._database = database
        self._embeddings = embeddings
        self._analysis = analysis

    async def replace(
        self, partition: str, removed: Sequence[int], added: Sequence[ChunkRecord], vectors: Vectors, generation: int
    ) -> None:
        """Remove and add in one transaction. Where that makes `generation` out of the one before, the partition is as
        whole as it was; after a gap it is not known to be, and the next start looks."""
        fresh = await self._entries(partition, added, vectors)
        async with self._database.write() as session:
            changes = SearchChanges(session, self.tables)
            before = await changes.lock(partition)
            await changes.remove(partition, {*removed, *(record.row for record in added)})
            await changes.add(partition, *fresh)
            if before is not None:
                whole = generation <= before + 1
                await changes.set_generation(partition, max(before, generation) if whole else None)

    async def fill(self, partition: str, batches: AsyncIterator[Batch], generation: int) -> None:
        """Make the partition what `batches` are. What is there already stays: a chunk never changes. One that fails
        leaves what was there, and what came of it; the next goes on from there."""
        async with self._database.read() as session:
            stale = await SearchChanges(session, self.tables).rows_of(partition)
        async for records, vectors in batches:
            stale.difference_update(record.row for record in records)
            await self._add_missing(partition, records, vectors)
        gone = sorted(stale)
        for at in range(0, len(gone), _ROWS_A_REMOVAL):
            async with self._database.write() as session:
                changes = SearchChanges(session, self.tables)
                await changes.lock(partition)
                await changes.remove(partition, gone[at : at + _ROWS_A_REMOVAL])
        async with self._database.write() as session:
            changes = SearchChanges(session, self.tables)
            await changes.lock(partition)
            await changes.set_generation(partition, generation)

    async def _add_missing(self, partition: str, records: Sequence[ChunkRecord], vectors: Vectors) -> None:
        """Another process may fill the same partition at the same time."""
        async with self._database.read() as session:
            there = await SearchChanges(session, self.tables).existing([record.row for record in records])
        kept = [n for n, record in enumerate(records) if record.row not in there]
        if not kept:
            return
        fresh = await self._entries(partition, [records[n] for n in kept], vectors[kept])
        async with self._database.write() as session:
            changes = SearchChanges(session, self.tables)
            await changes.lock(partition)
            if await changes.existing([records[n].row for n in kept]):
                await changes.remove(partition, [records[n].row for n in kept])
            await changes.add(partition, *fresh)

    async def _entries(self, partition: str, records: Sequence[ChunkRecord], vectors: Vectors) -> Entries:
        questions = await self._embeddings.embed([record.question for record in records if record.question])
        async with self._database.read() as session:
            before = await SearchChanges(session, self.tables).lengths(partition)
        vectors = vectors.astype(np.float32, copy=False)
        return await asyncio.to_thread(entries, partition, records, vectors, questions, self._analysis, before)
