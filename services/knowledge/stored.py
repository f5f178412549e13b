"""Chunks as they stand in the database, turned into what search takes."""

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from infrastructure.database.engine import Database
from infrastructure.database.models import SHARED
from infrastructure.database.repositories.knowledge import AnyRow, DocumentState, KnowledgeRepository
from infrastructure.database.repositories.partitions import PartitionRepository, generations
from services.knowledge.records import ChunkRecord
from services.knowledge.rows import record_of
from services.knowledge.served import Changes, HeldRows

Vectors = npt.NDArray[np.float32]
Batch = tuple[list[ChunkRecord], Vectors]

_CHUNKS_A_BATCH = 2000  # about 5 MB with text and vectors; a longer document is a batch by itself
_DOCUMENTS_A_BATCH = 500  # below SQLite's oldest limit of 999 variables
_ROWS_A_QUERY = 500
_CHANGES_AT_ONCE = 200


class StoredChunks:
    """Reads chunks. Each method is a transaction of its own, or one for each batch."""

    def __init__(self, database: Database, model: str, dimensions: int) -> None:
        self._database = database
        self._model = model
        self._dimensions = dimensions

    async def fetch(self, rows: Sequence[int]) -> list[ChunkRecord]:
        """The records of `rows`, in no order; a row that is gone is left out."""
        found: list[ChunkRecord] = []
        async with self._database.read() as session:
            repository = KnowledgeRepository(session)
            for at in range(0, len(rows), _ROWS_A_QUERY):
                for row in await repository.chunks_at(rows[at : at + _ROWS_A_QUERY]):
                    *place, name, title, text = row
                    found.append(record_of(place, name, title, text))
        return found

    async def batches(self, partition: str = SHARED) -> AsyncIterator[Batch]:
        """Every chunk of a partition's documents that are ready, with its vector, document after document."""
        async with self._database.read() as session:
            documents = await KnowledgeRepository(session).documents(partition)
        for some in _grouped([one for one in documents if one.chunks_count and one.status == "ready"]):
            yield await self.of_documents(some)

    async def generation(self, partition: str = SHARED) -> int:
        """How often the partition has changed."""
        async with self._database.read() as session:
            return await KnowledgeRepository(session).generation(partition)

    async def generations(self, partitions: Sequence[str]) -> dict[str, int]:
        """How often each has changed, but for those that never have."""
        return await self._database.look(partial(generations, partitions=partitions))

    async def tells(self, partition: str, since: int, generation: int) -> bool:
        """Whether `changes` can tell what came between two generations."""
        async with self._database.read() as session:
            return await PartitionRepository(session).knows(partition, since, generation)

    async def of_documents(self, documents: Sequence[DocumentState]) -> Batch:
        """The chunks of those of the documents that are ready now, each text read and sliced once."""
        async with self._database.read() as session:
            repository = KnowledgeRepository(session)
            await repository.freeze()
            rows, records = await self._read(repository, [document.id for document in documents])
        return records, self._vectors(rows)

    async def changes(self, partition: str, since: int, held: HeldRows) -> Changes | None:
        """What came after generation `since`, or the first of it; None where that cannot be told. Of the documents that
        it was about, what is not `held` is read.
        """
        async with self._database.read() as session:
            repository = KnowledgeRepository(session)
            await repository.freeze()
            found = await PartitionRepository(session).changes(partition, since, _CHANGES_AT_ONCE)
            if found is None:
                return None
            ids = list({document for _, document in found})
            sizes = {one.id: one.chunks_count for one in await repository.ready(ids)}
            generation, some = _first(found, sizes)
            here = {row: of for row, of in await repository.rows_of_all(list(some)) if of in sizes}
            whole, any_of = held(some)
            lacking = {of for row, of in here.items() if row not in whole}
            rows, records = await self._read(repository, list(lacking))
        fresh = [n for n, record in enumerate(records) if record.row not in whole]
        rows = [rows[n] for n in fresh]
        return Changes(
            sorted(any_of - here.keys()), [records[n] for n in fresh], self._vectors(rows), generation,
            all(row.embedding is not None for row in rows),
        )  # fmt: skip

    async def _read(
        self, repository: KnowledgeRepository, ids: Sequence[str]
    ) -> tuple[list[AnyRow], list[ChunkRecord]]:
        """The chunks of documents that are ready, with their embeddings and as records."""
        by_id = {document.id: document for document in await repository.ready(ids)}
        texts = await repository.texts(list(by_id))
        rows = await repository.chunks_of(list(by_id), self._model)
        records = []
        for row in rows:
            document = by_id[row.document_id]
            text = texts[document.id][row.start : row.end]
            records.append(record_of(row, document.name, document.title, text))
        return rows, records

    async def in_order(self, document_ids: Sequence[str], max_chars: int) -> list[ChunkRecord]:
        """The chunks of ready documents, document after document, up to one beyond `max_chars` characters."""
        found: list[ChunkRecord] = []
        async with self._database.read() as session:
            repository = KnowledgeRepository(session)
            await repository.freeze()
            for document_id in document_ids:
                document = await repository.document(document_id)
                if document is None or document.status != "ready":
                    continue
                text, _ = await repository.text_range(document_id, 0, max_chars + 1) or ("", 0)
                for place in await repository.places_of(document_id, max_chars):
                    found.append(record_of(place, document.name, document.title, text[place.start : place.end]))
                max_chars -= len(text)
                if max_chars < 0:
                    break
        return found

    def _vectors(self, rows: Sequence[AnyRow]) -> Vectors:
        width = 4 * self._dimensions
        found = (row.embedding or b"" for row in rows)
        data = b"".join(one if len(one) == width else bytes(width) for one in found)
        return np.frombuffer(data, "<f4").reshape(len(rows), self._dimensions).astype(np.float32, copy=False)


def _first(found: Sequence[tuple[int, str]], sizes: Mapping[str, int]) -> tuple[int, set[str]]:
    """So many of the changes, at least one, that their documents have no more chunks than a batch: the last one's
    generation, and the documents."""
    some: set[str] = set()
    chunks, reached = 0, found[0][0]
    for generation, document in found:
        if generation != reached and chunks >= _CHUNKS_A_BATCH:
            break
        reached = generation
        chunks += 0 if document in some else sizes.get(document, 0)
        some.add(document)
    return reached, some


def _grouped(documents: Sequence[DocumentState]) -> list[list[DocumentState]]:
    groups: list[list[DocumentState]] = []
    chunks = 0
    for document in documents:
        chunks += document.chunks_count
        if not groups or chunks > _CHUNKS_A_BATCH or len(groups[-1]) == _DOCUMENTS_A_BATCH:
            groups.append([])
            chunks = document.chunks_count
        groups[-1].append(document)
    return groups
