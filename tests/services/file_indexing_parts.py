"""Uploads in a real database and storage, and what indexes them: a reading in this process, a small embedder, and a
search index that remembers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, select

from infrastructure.database.engine import Database
from infrastructure.database.models import Chunk, ChunkEmbedding, Document, File, new_id
from infrastructure.database.repositories.files import FILE_WAITING
from infrastructure.storage.local import LocalStorage
from services.embeddings import Embeddings, Vectors
from services.file_indexing import FileIndexing
from services.knowledge.chunk import chunk
from services.knowledge.extract import extract
from services.knowledge.reading_wire import ReadDocument
from services.knowledge.records import ChunkRecord
from services.serving_model import ServingModel
from tests.services.chat_rows import Time

Step = Callable[[], Awaitable[None]]
CHUNK_CHARS = 200


def text_of(chunks: int, word: str = "word") -> str:
    """A text that is cut into about so many chunks."""
    return "\n\n".join(f"{word} {n}: " + f"{word} " * 30 for n in range(chunks))


@dataclass
class HereReading:
    """Reads in this process. `before` is awaited with each file, and may raise."""

    before: Step | None = None
    paths: list[Path] = field(default_factory=list)

    async def read(self, path: Path, name: str, media_type: str) -> ReadDocument:
        self.paths.append(path)
        if self.before is not None:
            await self.before()
        document = extract(name, await asyncio.to_thread(path.read_bytes))
        return ReadDocument(document, chunk(document, CHUNK_CHARS, 0))


@dataclass
class LengthEmbedder:
    """Two numbers by a text's length and first letter. `before` is awaited with each batch, and may raise."""

    name: str = "length"
    dimensions: int = 2
    before: Step | None = None
    batches: list[int] = field(default_factory=list)

    async def embed(self, texts: Sequence[str], purpose: str = "passage") -> Vectors:
        self.batches.append(len(texts))
        if self.before is not None:
            await self.before()
        rows = np.array([[len(text), ord(text[0])] for text in texts], np.float32).reshape(-1, 2)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    async def aclose(self) -> None:
        """There is nothing to give back."""


@dataclass
class RememberingIndex:
    """Partitions of records by row. `before` and `after` are awaited with each change."""

    parts: dict[str, dict[int, ChunkRecord]] = field(default_factory=dict)
    vectors: dict[int, tuple[float, ...]] = field(default_factory=dict)
    generations: dict[str, int] = field(default_factory=dict)
    before: Step | None = None
    after: Step | None = None

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
        assert vectors.shape == (len(added), 2)
        if self.before is not None:
            await self.before()
        part = self.parts.setdefault(partition, {})
        for row in removed_rows:
            part.pop(row, None)
        part |= {record.row: record for record in added}
        self.vectors |= {record.row: tuple(vector) for record, vector in zip(added, vectors.tolist(), strict=True)}
        self.generations[partition] = generation
        if self.after is not None:
            await self.after()

    async def withdraw(self, partition: str, rows: Sequence[int], *, generation: int) -> None:
        await self.replace(partition, rows, (), np.empty((0, 2), np.float32), generation=generation)


@dataclass
class Setup:
    """What indexes the files of one database."""

    database: Database
    storage: LocalStorage
    folder: Path
    reading: HereReading = field(default_factory=HereReading)
    embedder: LengthEmbedder = field(default_factory=LengthEmbedder)
    index: RememberingIndex = field(default_factory=RememberingIndex)
    clock: Time = field(default_factory=Time)

    def worker(self, **options: Any) -> FileIndexing:
        settings: dict[str, Any] = {
            "clock": self.clock, "worker_id": new_id(), "temp_dir": self.folder / "temporary", "batch": 8,
            "jitter": lambda: 0.5,
        }  # fmt: skip
        return FileIndexing(
            self.database,
            self.storage,
            self.reading,
            ServingModel(Embeddings(self.embedder)),
            self.index,
            **settings | options,
        )

    async def upload(self, text: str | bytes, owner: str | None = None, name: str = "notes.txt", **columns: Any) -> str:
        """A file's id."""
        data = text.encode() if isinstance(text, str) else text
        file_id = new_id()

        async def chunks() -> AsyncIterator[bytes]:
            yield data

        await self.storage.put(f"files/{file_id}", chunks())
        now = self.clock()
        file = {
            **FILE_WAITING, "id": file_id, "owner_id": owner, "original_filename": name, "mime_type": "text/plain",
            "size_bytes": len(data), "checksum": sha256(data).hexdigest(), "chunks_count": 0, "created_at": now,
            "updated_at": now,
        }  # fmt: skip
        async with self.database.write() as session:
            session.add(File(**file | columns))
        return file_id

    async def file(self, file_id: str) -> File | None:
        async with self.database.read() as session:
            return await session.get(File, file_id)

    async def state(self, file_id: str) -> tuple[str, str | None, int, int | None]:
        """`(status, stage, chunks processed, chunks expected)`."""
        file = await self.file(file_id)
        assert file is not None
        return file.status, file.stage, file.chunks_processed, file.total_chunks_expected

    async def document(self, file_id: str) -> tuple[str, str, int] | None:
        """`(status, text, chunks_count)` of its document."""
        query = select(Document.status, Document.text, Document.chunks_count).where(Document.id == file_id)
        async with self.database.read() as session:
            row = (await session.execute(query)).one_or_none()
        return None if row is None else (row[0], row[1], row[2])

    async def chunks(self, file_id: str) -> list[tuple[int, int, int]]:
        """`(ordinal, start, end)` of what is in the database, in the order of rows."""
        query = select(Chunk.ordinal, Chunk.start, Chunk.end).where(Chunk.document_id == file_id).order_by(Chunk.row)
        async with self.database.read() as session:
            return [(row[0], row[1], row[2]) for row in await session.execute(query)]

    async def embeddings(self, file_id: str) -> dict[int, tuple[float, ...]]:
        """The vectors that are in the database, by row."""
        query = select(ChunkEmbedding.chunk_row, ChunkEmbedding.embedding).join(
            Chunk, Chunk.row == ChunkEmbedding.chunk_row
        )
        async with self.database.read() as session:
            rows = await session.execute(query.where(Chunk.document_id == file_id))
            return {row[0]: tuple(np.frombuffer(row[1], "<f4").tolist()) for row in rows}

    async def count(self, table: type[Any]) -> int:
        async with self.database.read() as session:
            return (await session.execute(select(func.count()).select_from(table))).scalar_one()

    def found(self, partition: str) -> list[str]:
        """The texts that a search of the partition could find, in the order of rows."""
        return [record.text for _, record in sorted(self.index.parts.get(partition, {}).items())]


async def finished(indexing: FileIndexing) -> int:
    """Index all that is due; how many files it were."""
    count = 0
    while await indexing.index_one():
        count += 1
    return count


class Gate:
    """A step that says when it is reached, and goes on when it is let."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self) -> None:
        self.reached.set()
        await self.opened.wait()

    async def wait(self) -> None:
        async with asyncio.timeout(10):
            await self.reached.wait()
