"""The files service for tests: real databases, real files on the disk, and an index that notes what leaves it."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any
from uuid import uuid4

from infrastructure.database.engine import Database
from infrastructure.database.models import File, new_id
from infrastructure.database.repositories.files import FileState
from infrastructure.database.repositories.knowledge import KnowledgeRepository
from infrastructure.storage.local import LocalStorage
from services.files import Files, NewFile
from services.knowledge.scope import partition_of
from tests.services.chat_rows import Time

QUOTA = 1000
TEXT = "Ada wrote the first program. It computed Bernoulli numbers."
PIECES = [(0, 28, "Programs"), (29, 59, None)]


class Withdrawals:
    """An index that only notes what is withdrawn."""

    def __init__(self) -> None:
        self.all: list[tuple[str, list[int], int]] = []

    async def withdraw(self, partition: str, rows: Sequence[int], *, generation: int) -> None:
        self.all.append((partition, list(rows), generation))


class FileSetup:
    """Files over a database and a folder. `brought`: how often it was told that there is something to read."""

    def __init__(self, database: Database, folder: Path, *, quota: int = QUOTA, storage: Any = None) -> None:
        self.database = database
        self.folder = folder
        self.storage = storage or LocalStorage(folder / "storage")
        self.index = Withdrawals()
        self.forgotten: list[str] = []
        self.brought = 0
        self.chats_changed: list[str | None] = []
        self.clock = Time()
        self.files = Files(
            database, self.storage, self.index, self._forget,
            quota_bytes=quota, clock=self.clock, on_uploaded=self._on_uploaded,
            on_chat_changed=self.chats_changed.append,
        )  # fmt: skip

    def new(self, data: bytes = b"Some text.", name: str = "notes.txt") -> NewFile:
        """A file as it has come in."""
        path = self.folder / f"incoming-{uuid4().hex}"
        path.write_bytes(data)
        return NewFile(path, name, len(data), hashlib.sha256(data).hexdigest())

    async def brings(
        self, owner: str | None = None, data: bytes = b"Some text.", name: str = "notes.txt", chat: str | None = None
    ) -> FileState:
        """One upload."""
        (file,) = await self.files.upload(owner, [self.new(data, name)], chat)
        return file

    async def kept(self) -> set[str]:
        """The ids of files whose bytes are in storage."""
        async with aclosing(self.storage.keys()) as keys:
            return {key.removeprefix("files/") async for key, _ in keys}

    async def bytes_of(self, file_id: str) -> bytes:
        async with aclosing(self.files.content(file_id)) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def set(self, file_id: str, **columns: Any) -> None:
        """Change a file as the worker would."""
        async with self.database.write() as session:
            file = await session.get_one(File, file_id)
            for name, value in columns.items():
                setattr(file, name, value)

    async def read(self, file: FileState, pages: list[list[int]] | None = None) -> list[int]:
        """Have a file be read, as the worker would; the rows of its chunks."""
        now = self.clock()
        values = {
            "id": file.id, "file_id": file.id, "partition": partition_of(file.id, file.owner_id),
            "name": file.original_filename, "title": "Ada", "media_type": file.mime_type,
            "size_bytes": file.size_bytes, "checksum": file.checksum, "modified_ns": 0, "recipe": "1", "text": TEXT,
            "pages": pages, "status": "ready", "error_message": None, "chunks_count": 2, "created_at": now,
            "updated_at": now,
        }  # fmt: skip
        chunks = [
            {"id": new_id(), "kind": "text", "section": section, "page": None, "start": start, "end": end,
             "question": None if section else "What did it compute?", "answer_start": None, "answer_end": None}
            for start, end, section in PIECES
        ]  # fmt: skip
        async with self.database.write() as session:
            knowledge = KnowledgeRepository(session)
            await knowledge.save(values)
            rows = await knowledge.add_chunks(file.id, chunks)
        await self.set(file.id, status="ready", chunks_count=2, finished_at=now)
        return [row[0] for row in rows]

    def _on_uploaded(self) -> None:
        self.brought += 1

    async def _forget(self, texts: Sequence[str]) -> None:
        self.forgotten += texts


class Broken(LocalStorage):
    """A storage that fails from the `n`-th file on."""

    def __init__(self, folder: Path, n: int) -> None:
        super().__init__(folder)
        self.left = n

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        self.left -= 1
        await super().put(key, chunks if self.left > 0 else _breaking(chunks))


async def _breaking(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    yield await anext(chunks)
    raise ConnectionError("the disk is gone")
