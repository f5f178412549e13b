"""Taking in uploads: all files of a request are kept, or none.

The bytes go to storage before the rows are committed. So a file that is there has its bytes, and what a crash leaves
behind is bytes without a row, which `services.file_sweep` finds.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from infrastructure.database.repositories.files import FileRepository, FileState
from infrastructure.database.repositories.turns import NO_CHAT
from infrastructure.errors import AskGraphError, NotFound, PayloadTooLarge, StorageUnavailable, Unauthorized
from services.file_names import clean_name
from services.file_storage import FileStorage
from services.file_types import file_type

MAX_FILES = 10_000  # of one owner: a page of the list, and a sweep, stay quick
_READ_BYTES = 1024 * 1024
_BYTES_IN_A_MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file as it came. Its bytes are at `path`, until the caller takes them away."""

    path: Path
    name: str
    size_bytes: int
    checksum: str  # SHA-256, hexadecimal


@dataclass(slots=True)
class _Batch:
    """The files of a request by checksum: the same bytes are one file. `stored`: those whose bytes are in storage."""

    owner: str | None
    chat_id: str | None
    files: dict[str, NewFile]
    rows: dict[str, dict[str, Any]]
    stored: set[str] = field(default_factory=set)
    committing: bool = False

    def keys(self, checksums: set[str]) -> list[str]:
        return [storage_key(self.rows[checksum]["id"]) for checksum in checksums]


@dataclass(frozen=True, slots=True)
class _Kept:
    states: list[FileState]  # one for each checksum, in the batch's order
    added: set[str]
    to_be_read: bool


def storage_key(file_id: str) -> str:
    """Where a file's bytes are."""
    return f"files/{file_id}"


class Uploads:
    """`on_uploaded` is told, after the commit, that there is something to read."""

    def __init__(
        self, database: Database, storage: FileStorage, *,
        quota_bytes: int, clock: Callable[[], datetime], on_uploaded: Callable[[], None],
    ) -> None:  # fmt: skip
        self._database = database
        self._storage = storage
        self._quota = quota_bytes
        self._clock = clock
        self._on_uploaded = on_uploaded

    async def keep(self, owner: str | None, files: Sequence[NewFile], chat_id: str | None = None) -> list[FileState]:
        """Keep files, and have them belong to a chat; one state for each of `files`.

        What the owner has already (by its bytes) is not kept again; if it could not be read, that is tried anew. Of an
        anonymous caller's, only what is in the same chat counts.

        Raises:
            NotFound: no such chat, or another user's.
            UnsupportedMediaType, InvalidInput: a file that is not read here.
            PayloadTooLarge: they do not fit into the owner's quota.
            Unauthorized: the owner's account is gone.
            StorageUnavailable: the storage fails. Nothing was kept.
        """
        batch = await self._described(owner, files, chat_id)
        kept = await self._kept(batch)
        if kept.to_be_read:
            self._on_uploaded()
        by_checksum = dict(zip(batch.files, kept.states, strict=True))
        return [by_checksum[file.checksum] for file in files]

    async def _described(self, owner: str | None, files: Sequence[NewFile], chat_id: str | None) -> _Batch:
        now = self._clock()
        batch = _Batch(owner, chat_id, {file.checksum: file for file in reversed(files)}, {})
        for checksum, file in batch.files.items():
            found = await asyncio.to_thread(file_type, file.path, file.name)
            batch.rows[checksum] = {
                "id": new_id(),
                "owner_id": owner,
                "original_filename": clean_name(file.name),
                "mime_type": found.media_type,
                "size_bytes": file.size_bytes,
                "checksum": checksum,
                "created_at": now,
                "updated_at": now,
            }
        return batch

    async def _kept(self, batch: _Batch) -> _Kept:
        try:
            kept = None
            while kept is None:  # ends: each round stores something more
                await self._store(batch, await self._missing(batch) - batch.stored)
                kept = await self._commit(batch)
        except BaseException as fault:
            # A commit of which nothing was heard may have happened: then the bytes are left to the sweep.
            if not batch.committing or isinstance(fault, AskGraphError):
                await asyncio.shield(self._forget(batch.keys(batch.stored)))
            raise
        await self._forget(batch.keys(batch.stored - kept.added))
        return kept

    async def _missing(self, batch: _Batch) -> set[str]:
        """The checksums that nothing is kept of: a first look, so that what will be refused is not stored."""
        async with self._database.read() as session:
            files = FileRepository(session)
            missing = set(batch.files) - set(await self._found(files, batch))
            await self._check_quota(files, batch, missing)
        return missing

    async def _store(self, batch: _Batch, checksums: set[str]) -> None:
        for checksum in checksums:
            async with aclosing(_read(batch.files[checksum].path)) as chunks:
                await self._storage.put(storage_key(batch.rows[checksum]["id"]), chunks)
            batch.stored.add(checksum)

    async def _commit(self, batch: _Batch) -> _Kept | None:
        """Everything at once; None when a file was deleted meanwhile whose bytes are needed now."""
        batch.committing = True
        async with self._database.write() as session:
            files = FileRepository(session)
            if not await files.hold_quota(batch.owner):
                raise Unauthorized("Sign in first.")
            found = await self._found(files, batch)
            missing = set(batch.files) - set(found)
            if not missing <= batch.stored:
                batch.committing = False
                return None
            await self._check_quota(files, batch, missing)
            await files.add([batch.rows[checksum] for checksum in batch.rows if checksum in missing])
            failed = [file_id for file_id, status in found.values() if status == "failed"]
            again = await files.restart(failed, self._clock()) if failed else []
            ids = {checksum: file_id for checksum, (file_id, _) in found.items()}
            ids |= {checksum: batch.rows[checksum]["id"] for checksum in missing}
            if batch.chat_id is not None:
                await files.attach(batch.chat_id, ids.values(), self._clock())
            states = await files.views(ids.values(), batch.owner)
        return _Kept([states[ids[checksum]] for checksum in batch.files], missing, bool(missing or again))

    async def _found(self, files: FileRepository, batch: _Batch) -> dict[str, tuple[str, str]]:
        if batch.chat_id is not None and not await files.hold_chat(batch.chat_id, batch.owner):
            raise NotFound(NO_CHAT)
        return await files.by_checksum(batch.owner, batch.chat_id, batch.files)

    async def _check_quota(self, files: FileRepository, batch: _Batch, checksums: set[str]) -> None:
        if not checksums:
            return
        size, count = await files.used(batch.owner)
        if size + sum(batch.files[checksum].size_bytes for checksum in checksums) > self._quota:
            raise PayloadTooLarge(f"This does not fit into the file quota of {self._quota // _BYTES_IN_A_MB} MB.")
        if count + len(checksums) > MAX_FILES:
            raise PayloadTooLarge(f"There may be {MAX_FILES} files. Delete some first.")

    async def _forget(self, keys: Sequence[str]) -> None:
        for key in keys:
            try:
                await self._storage.delete(key)
            except StorageUnavailable:  # it has said so in the log; the sweep will find them
                return


async def _read(path: Path) -> AsyncGenerator[bytes, None]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while part := await asyncio.to_thread(file.read, _READ_BYTES):
            yield part
