"""Changes of partitions: made in one thread, one at a time, so none holds up the event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

from services.embeddings import Embeddings
from services.knowledge.partition import Change, Loading, Partition
from services.knowledge.question_vectors import QuestionVectors
from services.knowledge.served import Batch, Changes
from services.knowledge.store import RecordStore


class PartitionWriter:
    """Writes partitions, and the texts of what they have into `records`."""

    def __init__(self, records: RecordStore, vectors: QuestionVectors) -> None:
        self._records = records
        self._vectors = vectors
        self._thread = ThreadPoolExecutor(1, "index")

    async def change(self, part: Partition, change: Change) -> None:
        """Make a change, but for additions that are known to the partition: those were read from the database, where
        others may have undone them since.
        """
        if change.added and part.held.has(change.generation):
            change = change.without_additions()
        await self._in(part.replace, *change)
        self._records.put(change.added)

    async def take_in(self, part: Partition, found: Changes, embeddings: Embeddings) -> bool:
        """Make the changes of others that were read from the database; whether they have all their vectors."""
        asked = [record.question for record in found.added if record.question]
        questions, whole = await self._vectors.curated(embeddings, asked)
        if found.removed or found.added:
            changes = found.generation - part.held.whole
            await self._in(
                part.replace, found.removed, found.added, found.vectors, questions, found.generation, changes
            )
        await self._in(part.reach, found.generation)
        self._records.put(found.added)
        self._records.remove(found.removed)
        return whole and found.whole

    async def load(
        self, part: Partition, batches: AsyncIterator[Batch], generation: int, embeddings: Embeddings
    ) -> bool:
        """Take in all of a partition, in place of what is there; whether the curated questions have their vectors. The
        lexical index is built anew only where it does not hold `generation` already."""
        loading = Loading(part.lexical if part.lexical.generation != generation else None)
        try:
            async for records, vectors in batches:
                await self._in(loading.add, records, vectors)
                self._records.put(records)
            asked = [record.question or "" for record in loading.curated]
            questions, whole = await self._vectors.curated(embeddings, asked)
            await self._in(part.load, loading, questions, generation)
        finally:
            self._thread.submit(loading.close)
        return whole

    async def aclose(self) -> None:
        """End the thread."""
        await asyncio.to_thread(self._thread.shutdown)

    async def _in(self, work: Callable[..., None], *args: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)
