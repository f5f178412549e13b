"""Uploaded files: listing, reading, deleting them, and which chats they belong to.

Whoever may not reach a file is told the same as for one that never was. What is nobody's is reached by its id.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.engine import Database
from infrastructure.database.repositories.files import FileRepository, FileState
from infrastructure.database.repositories.knowledge import KnowledgeRepository
from infrastructure.database.repositories.turns import NO_CHAT
from infrastructure.errors import Conflict, NotFound
from services.chats import Page
from services.file_removal import ForgetTexts, Index, Removal
from services.file_storage import FileStorage
from services.file_sweep import FileSweep
from services.file_uploads import NewFile, Uploads, storage_key

__all__ = ["FileState", "FileText", "Files", "NewFile", "Page", "Quota"]

NO_FILE = "No such file."
NOT_READ = "The file has not been read yet. Ask for its status."
NOT_READABLE = "The file could not be read. Its status says why."
BEING_READ = "The file is being read just now. Try again when it is done."
_SOME = 100


@dataclass(frozen=True, slots=True)
class Quota:
    """Bytes that an owner's files have, and may have. All anonymous callers have one together."""

    used_bytes: int
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class FileText:
    """What was read of a file: the text that citations count in; `pages` are `(page, start, end)` within it."""

    file_id: str
    text: str
    pages: list[tuple[int, int, int]] | None


class Files:
    """The uploads of everyone. `owner` is always the one who asks: a user's id, or None for an anonymous one.

    `sweeping` clears away what nobody needs any more. `on_uploaded` is told, after the commit, that there is something
    to read; `on_chat_changed` that a chat has other files (its id), or maybe any of them (None).

    Raises (every method with a `file_id`):
        NotFound: no such file, or another user's.
    """

    def __init__(
        self, database: Database, storage: FileStorage, index: Index, forget: ForgetTexts, *,
        quota_bytes: int, clock: Callable[[], datetime], on_uploaded: Callable[[], None],
        on_chat_changed: Callable[[str | None], None],
    ) -> None:  # fmt: skip
        self._database = database
        self._storage = storage
        self._clock = clock
        self._quota_bytes = quota_bytes
        self._on_uploaded = on_uploaded
        self._on_chat_changed = on_chat_changed
        self._removal = Removal(database, storage, index, forget, on_removed=lambda: on_chat_changed(None))
        self._uploads = Uploads(database, storage, quota_bytes=quota_bytes, clock=clock, on_uploaded=on_uploaded)
        self.sweeping = FileSweep(database, storage, self._removal, clock=clock)

    async def upload(self, owner: str | None, files: Sequence[NewFile], chat_id: str | None = None) -> list[FileState]:
        """Keep files, all or none; one state for each. See `Uploads.keep`."""
        kept = await self._uploads.keep(owner, files, chat_id)
        if chat_id is not None:
            self._on_chat_changed(chat_id)
        return kept

    async def page(self, owner: str | None, page: int, page_size: int) -> Page[FileState]:
        """A page of a user's own files, the newest first. For an anonymous caller it is empty."""
        if owner is None:
            return Page([], 0, page, page_size)
        async with self._database.read() as session:
            items, total = await FileRepository(session).page(owner, (page - 1) * page_size, page_size)
        return Page(items, total, page, page_size)

    async def failed(self, page: int, page_size: int) -> Page[FileState]:
        """A page of everybody's files that could not be read, for those who look after the service."""
        async with self._database.read() as session:
            items, total = await FileRepository(session).failed((page - 1) * page_size, page_size)
        return Page(items, total, page, page_size)

    async def quota(self, owner: str | None) -> Quota:
        async with self._database.read() as session:
            used, _ = await FileRepository(session).used(owner)
        return Quota(used, self._quota_bytes)

    async def get(self, file_id: str, owner: str | None) -> FileState:
        async with self._database.read() as session:
            return _there(await FileRepository(session).find(file_id, owner))

    async def text(self, file_id: str, owner: str | None) -> FileText:
        """
        Raises:
            Conflict: it has not been read yet, or could not be.
        """
        async with self._database.read() as session:
            file = _there(await FileRepository(session).find(file_id, owner))
            if file.status != "ready":
                raise Conflict(NOT_READABLE if file.status == "failed" else NOT_READ)
            found = await KnowledgeRepository(session).text_and_pages(file_id)
        if found is None:
            raise Conflict(NOT_READ)
        text, pages = found
        return FileText(file_id, text, None if pages is None else [(one[0], one[1], one[2]) for one in pages])

    def content(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """The bytes of a file that `get` has let through; close it with `aclosing`.

        Raises:
            NotFound: they are gone; before the first of them.
            StorageUnavailable: the storage fails.
        """
        return self._storage.read(storage_key(file_id))

    async def attach(self, file_id: str, owner: str | None, chat_id: str) -> FileState:
        """Have the file belong to a chat as well.

        Raises:
            NotFound: no such chat, or another user's.
        """
        async with self._database.write() as session:
            files = await _held(session, file_id, owner, chat_id)
            await files.attach(chat_id, [file_id], self._clock())
            file = _there(await files.find(file_id, owner))
        self._on_chat_changed(chat_id)
        return file

    async def detach(self, file_id: str, owner: str | None, chat_id: str) -> FileState:
        """Have the file belong to a chat no more; nothing happens if it does not.

        Raises:
            NotFound: no such chat, or another user's.
        """
        async with self._database.write() as session:
            files = await _held(session, file_id, owner, chat_id)
            await files.detach(chat_id, file_id)
            file = _there(await files.find(file_id, owner))
        self._on_chat_changed(chat_id)
        return file

    async def reprocess(self, file_id: str, owner: str | None) -> FileState:
        """Have the file read anew; what was read before is found until then.

        Raises:
            Conflict: it is just being read.
        """
        async with self._database.write() as session:
            files = FileRepository(session)
            if not await files.hold(file_id, owner):
                raise NotFound(NO_FILE)
            if not await files.restart([file_id], self._clock()):
                raise Conflict(BEING_READ)
            file = _there(await files.find(file_id, owner))
        self._on_uploaded()
        return file

    async def delete(self, file_id: str, owner: str | None) -> None:
        """Delete the file with all that was made of it. See `Removal.remove`."""
        if not await self._removal.remove([file_id], owner):
            raise NotFound(NO_FILE)

    async def delete_owner(self, owner: str) -> int:
        """Delete all files of a user; how many it were."""
        count = 0
        while ids := await self._ids_of(owner):
            count += await self._removal.remove(ids, owner)
        return count

    async def _ids_of(self, owner: str) -> list[str]:
        async with self._database.read() as session:
            return await FileRepository(session).ids_of(owner, _SOME)


def _there(file: FileState | None) -> FileState:
    if file is None:
        raise NotFound(NO_FILE)
    return file


async def _held(session: AsyncSession, file_id: str, owner: str | None, chat_id: str) -> FileRepository:
    """Keep the file and the chat from being deleted until the transaction ends."""
    files = FileRepository(session)
    if not await files.hold(file_id, owner):
        raise NotFound(NO_FILE)
    if not await files.hold_chat(chat_id, owner):
        raise NotFound(NO_CHAT)
    return files
