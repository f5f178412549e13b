"""How chunks come into the tables that PostgreSQL searches in."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from infrastructure.database.engine import Database
from infrastructure.database.repositories.search_changes import SearchChanges
from infrastructure.database.search_tables import SearchTables
from services.embeddings import Embeddings
from services.knowledge.question_vectors import QuestionVectors
from services.knowledge.records import ChunkRecord
from services.knowledge.search_entries import Entries, entries, has_vector
from services.knowledge.served import Batch
from services.knowledge.text import TextAnalysis

Vectors = npt.NDArray[np.float32]
_ROWS_A_REMOVAL = 5000


class Addition(NamedTuple):
    """Chunks with their vectors, as they are added."""

    records: Sequence[ChunkRecord]
    vectors: Vectors


class Filling:
    """Adds and removes. Texts are analysed and embedded before a transaction begins; each is one of its own.

    Where the model is away, chunks are added without their vectors (or those of their curated questions): such methods
    return False.
    """

    def __init__(
        self,
        database: Database,
        tables: SearchTables,
        embeddings: Embeddings,
        analysis: TextAnalysis,
        vectors: QuestionVectors,
    ) -> None:
        self.tables = tables
        self._database = database
        self._embeddings = embeddings
        self._analysis = analysis
        self._vectors = vectors

    async def replace(
        self, partition: str, removed: Sequence[int], added: Addition, generation: int, changes: int = 1
    ) -> bool:
        """Remove and add in one transaction. Where that makes `generation`, by so many `changes`, out of the one that
        is there, the partition is as whole as it was; after a gap it is not known to be, and the next start looks.
        Nothing is added where all of `generation` is there already: another process has filled the partition, and what
        was added then may be gone by now.
        """
        fresh, whole = await self._entries(partition, added)
        async with self._database.write() as session:
            tables = SearchChanges(session, self.tables)
            before = await tables.lock(partition)
            comes = before is None or generation > before
            await tables.remove(partition, {*removed, *(record.row for record in added.records if comes)})
            if comes:
                await tables.add(partition, *fresh)
            if before is not None:
                follows = generation <= before + changes
                await tables.set_generation(partition, max(before, generation) if follows else None)
        return whole

    async def fill(self, partition: str, batches: AsyncIterator[Batch], generation: int) -> bool:
        """Make the partition what `batches` are. What is there already stays: a chunk never changes. One that fails
        leaves what was there, and what came of it; the next goes on from there."""
        whole = True
        async with self._database.read() as session:
            stale = await SearchChanges(session, self.tables).rows_of(partition)
        async for records, vectors in batches:
            stale.difference_update(record.row for record in records)
            whole = await self._add_missing(partition, Addition(records, vectors)) and whole
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
        return whole

    async def is_whole(self, partition: str, generation: int) -> bool:
        """Whether the tables hold all of that generation, with its vectors."""
        async with self._database.read() as session:
            changes = SearchChanges(session, self.tables)
            return await changes.generation(partition) == generation and not await changes.lacks_vectors(partition)

    async def doubt_lacking(self) -> None:
        """Have the owners' partitions filled again in which vectors lack."""
        async with self._database.write() as session:
            await SearchChanges(session, self.tables).doubt_lacking()

    async def _add_missing(self, partition: str, batch: Addition) -> bool:
        """Add what is not there, and what is there without its vector. Another process may do the same just now."""
        rows = [record.row for record in batch.records]
        async with self._database.read() as session:
            there = await SearchChanges(session, self.tables).existing(rows)
        whole = has_vector(batch.vectors)
        kept = [n for n, row in enumerate(rows) if row not in there or (whole[n] and not there[row])]
        if not kept:
            return True
        fresh, known = await self._entries(partition, Addition([batch.records[n] for n in kept], batch.vectors[kept]))
        async with self._database.write() as session:
            changes = SearchChanges(session, self.tables)
            await changes.lock(partition)
            await changes.remove(partition, await changes.existing([rows[n] for n in kept]))
            await changes.add(partition, *fresh)
        return known

    async def _entries(self, partition: str, added: Addition) -> tuple[Entries, bool]:
        asked = [record.question for record in added.records if record.question]
        questions, whole = await self._vectors.curated(self._embeddings, asked)
        async with self._database.read() as session:
            before = await SearchChanges(session, self.tables).lengths(partition)
        vectors = added.vectors.astype(np.float32, copy=False)
        made = await asyncio.to_thread(entries, partition, added.records, vectors, questions, self._analysis, before)
        return made, whole
