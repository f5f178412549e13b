"""What is done with one upload: read, cut, embed, save, make searchable.

The order makes sure of two things. What is not whole is never found: chunks come into the database in many short
transactions, under a document that is `indexing` and so in nobody's search; one last transaction makes it `ready` with
the partition's next generation. And `ready` is never said of a file too soon: the file becomes `ready` by a transaction
of its own, after the search index has taken the chunks in. To let the index go first would show it what the database
may never have; to do both in one transaction would hold up every writer for as long as the index takes. A crash between
leaves a document that can be found and a file that is `processing`: whoever takes it over does it once more.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from infrastructure.database.repositories.file_queue import ClaimedFile
from infrastructure.database.repositories.knowledge import KnowledgeRepository
from services.embeddings import Embeddings
from services.file_lease import Lease, LeaseLost
from services.file_storage import FileStorage
from services.knowledge.chunk import Chunk
from services.knowledge.reading_wire import ReadDocument
from services.knowledge.records import ChunkRecord, index_text
from services.knowledge.rows import chunk_values, embedding_bytes
from services.knowledge.scope import partition_of
from services.serving_model import WORDS_ONLY, ServingModel

Vectors = npt.NDArray[np.float32]
_AHEAD = 3  # batches with the embedding model while one is written
_REMOVED_AT_ONCE = 1000  # chunks: some 15 ms of SQLite's one writer


class Reading(Protocol):
    """What reads a file and cuts it."""

    async def read(self, path: Path, name: str, media_type: str) -> ReadDocument:
        """
        Raises:
            KnowledgeError: the file cannot be read.
            ReadingInterrupted: it was not the file's fault.
        """


class Index(Protocol):
    """What makes chunks searchable."""

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
        """Remove and add chunks of a partition; the next search sees all of it. Rows that it does not have are no
        matter. `model` made the vectors."""


@dataclass(slots=True)
class Indexed:
    """What became of a file. Seconds are of each stage; embedding has the writing of chunks in it."""

    records: list[ChunkRecord] = field(default_factory=list)
    vectors: Vectors = field(default_factory=lambda: np.empty((0, 0), np.float32))
    model: str = ""
    seconds: dict[str, float] = field(default_factory=dict)


class FileWorker:
    """Indexes files. Whatever an earlier try left of one is removed first."""

    def __init__(
        self,
        database: Database,
        storage: FileStorage,
        reading: Reading,
        serving: ServingModel,
        index: Index,
        *,
        clock: Callable[[], datetime],
        temp_dir: Path,
        batch: int,
        recipe: str,
    ) -> None:
        self._database = database
        self._storage = storage
        self._reading = reading
        self._serving = serving
        self._index = index
        self._clock = clock
        self._temp_dir = temp_dir
        self._batch = batch
        self._recipe = recipe

    async def run(self, lease: Lease) -> Indexed:
        """Take a file from its bytes to `ready`.

        Raises:
            LeaseLost: it is gone, or another's; nothing of this try can be found.
            KnowledgeError, ReadingInterrupted: as `Reading` says.
            NotFound, StorageUnavailable: its bytes cannot be had.
            ProviderError: it could not be embedded.
            SQLAlchemyError: the database is away.
        """
        found = await lease.while_held(self._prepare(lease))
        began = time.monotonic()
        async with lease.extended():
            await self._publish(lease, found)
        found.seconds["saving"] = time.monotonic() - began
        return found

    async def discard(self, lease: Lease) -> None:
        """Remove what there is of the file's document.

        Raises:
            LeaseLost
        """
        if await self._clear(lease):
            async with lease.transaction() as session:
                await KnowledgeRepository(session).remove(lease.file.id)

    async def _prepare(self, lease: Lease) -> Indexed:
        """All that can be done before anybody may find it."""
        found = Indexed()
        began = time.monotonic()
        read = await self._read(lease.file)
        found.seconds["reading"] = time.monotonic() - began
        await self._clear(lease)
        total = len(read.chunks)
        async with lease.transaction(stage="embedding", total_chunks_expected=total) as session:
            await KnowledgeRepository(session).save(self._document(lease.file, read))
        began = time.monotonic()
        embeddings = self._serving.embeddings
        found.model, found.vectors = embeddings.model, np.empty((total, embeddings.dimensions), np.float32)
        async with aclosing(self._embedded(read, embeddings)) as batches:
            async for first, vectors in batches:
                await self._save(lease, read, first, vectors, found)
        found.seconds["embedding"] = time.monotonic() - began
        return found

    async def _read(self, file: ClaimedFile) -> ReadDocument:
        path = self._temp_dir / file.lease
        await asyncio.to_thread(self._temp_dir.mkdir, parents=True, exist_ok=True)
        try:
            await self._storage.fetch(f"files/{file.id}", path)
            return await self._reading.read(path, file.name, file.media_type)
        finally:
            await asyncio.to_thread(path.unlink, missing_ok=True)

    async def _embedded(self, read: ReadDocument, embeddings: Embeddings) -> AsyncGenerator[tuple[int, Vectors], None]:
        """`(number of the first chunk, vectors)`, batch after batch; the next ones are begun meanwhile."""
        begun: deque[tuple[int, asyncio.Task[Vectors]]] = deque()
        try:
            for first in range(0, len(read.chunks), self._batch):
                chunks = read.chunks[first : first + self._batch]
                texts = [index_text(read.document.title, piece.section, piece.text) for piece in chunks]
                begun.append((first, asyncio.create_task(embeddings.embed(texts))))
                if len(begun) > _AHEAD:
                    at, task = begun.popleft()
                    yield at, await task
            while begun:
                at, task = begun.popleft()
                yield at, await task
        finally:
            for _, task in begun:
                task.cancel()
            await asyncio.gather(*(task for _, task in begun), return_exceptions=True)

    async def _save(self, lease: Lease, read: ReadDocument, first: int, vectors: Vectors, found: Indexed) -> None:
        chunks = read.chunks[first : first + len(vectors)]
        ids = [new_id() for _ in chunks]
        values = [{"id": chunk_id, **value} for chunk_id, value in zip(ids, chunk_values(chunks), strict=True)]
        data = [embedding_bytes(vector) for vector in vectors] if found.model != WORDS_ONLY else []
        last = found.records[-1].row if found.records else 0
        rows = await lease.add_chunks(first, last, values, found.model, data)
        found.vectors[first : first + len(vectors)] = vectors
        found.records += _records(lease.file, read.document.title, chunks, ids, rows)

    async def _publish(self, lease: Lease, found: Indexed) -> None:
        file, count = lease.file, len(found.records)
        partition = partition_of(file.id, file.owner_id)
        async with lease.transaction(stage="saving") as session:
            repository = KnowledgeRepository(session)
            await repository.save(
                {"id": file.id, "status": "ready", "chunks_count": count, "updated_at": self._clock()}
            )
            generation = await repository.next_generation(partition, [file.id])
        await self._index.replace(partition, (), found.records, found.vectors, generation=generation, model=found.model)
        try:
            await lease.end(status="ready", chunks_count=count, finished_at=self._clock())
        except LeaseLost:  # deleted while the index took it in: its removal from there may have come before
            await self._withdraw(partition, [record.row for record in found.records])
            raise

    async def _clear(self, lease: Lease) -> bool:
        """Remove the chunks that the file's document has, a few at a time; whether there is a document."""
        file = lease.file
        async with self._database.read() as session:
            known = await KnowledgeRepository(session).document(file.id)
        if known is None:
            return False
        if known.status == "ready":
            async with lease.transaction(chunks_count=0) as session:
                repository = KnowledgeRepository(session)
                await repository.save({"id": file.id, "status": "indexing", "chunks_count": 0})
                rows = await repository.rows_of(file.id)
                generation = await repository.next_generation(known.partition, [file.id])
            await self._withdraw(known.partition, rows, generation)
        removed = _REMOVED_AT_ONCE
        while removed == _REMOVED_AT_ONCE:
            async with lease.transaction() as session:
                removed = await KnowledgeRepository(session).remove_some_chunks(file.id, _REMOVED_AT_ONCE)
        return True

    async def _withdraw(self, partition: str, rows: Sequence[int], generation: int | None = None) -> None:
        if generation is None:
            async with self._database.read() as session:
                generation = await KnowledgeRepository(session).generation(partition)
        nothing = np.empty((0, self._serving.embeddings.dimensions), np.float32)
        await self._index.replace(partition, rows, (), nothing, generation=generation)

    def _document(self, file: ClaimedFile, read: ReadDocument) -> dict[str, Any]:
        now, document = self._clock(), read.document
        return {
            "id": file.id,
            "file_id": file.id,
            "partition": partition_of(file.id, file.owner_id),
            "name": file.name,
            "title": document.title,
            "media_type": document.media_type,
            "size_bytes": file.size_bytes,
            "checksum": file.checksum,
            "modified_ns": 0,
            "recipe": self._recipe,
            "text": document.text,
            "pages": [[page.page, page.start, page.end] for page in document.pages] or None,
            "status": "indexing",
            "error_message": None,
            "chunks_count": 0,
            "created_at": file.created_at,
            "updated_at": now,
        }


def _records(
    file: ClaimedFile, title: str, chunks: Sequence[Chunk], ids: Sequence[str], rows: Sequence[int]
) -> list[ChunkRecord]:
    return [
        ChunkRecord(
            row, chunk_id, file.id, file.name, title, piece.section, piece.page, piece.start, piece.end, piece.text,
            piece.kind, piece.question, piece.answer_start, piece.answer_end,
        )
        for piece, chunk_id, row in zip(chunks, ids, rows, strict=True)
    ]  # fmt: skip
