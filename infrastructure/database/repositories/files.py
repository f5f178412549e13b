"""Queries of uploaded files. Whose a file is stands in the queries: what a caller may not reach is not found."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, exists, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.models import Chat, ChatFile, Chunk, Document, File, User
from infrastructure.database.repositories.chats import reachable as reachable_chat

_NOBODYS_LOCK = 0x6173_6B67_6669_6C65  # any number that nothing else takes
FILE_WAITING: Mapping[str, Any] = {
    "status": "uploaded", "stage": None, "chunks_processed": 0, "total_chunks_expected": None, "error_message": None,
    "attempts": 0, "worker": None, "leased_until": None, "retry_at": None, "started_at": None, "finished_at": None,
}  # fmt: skip
"""The columns of a file that waits to be read, for the first time or anew."""


@dataclass(frozen=True, slots=True)
class FileState:
    """A file, without its bytes. `chat_ids`: the chats that it belongs to, of those that the caller may reach."""

    id: str
    owner_id: str | None
    original_filename: str
    mime_type: str
    size_bytes: int
    checksum: str
    status: str
    stage: str | None
    chunks_processed: int
    total_chunks_expected: int | None
    chunks_count: int
    error_message: str | None
    attempts: int
    started_at: datetime | None
    finished_at: datetime | None
    created_at: datetime
    chat_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IndexedTexts:
    """What was embedded of a document: `pieces` are `(section, start, end, question)` of its chunks."""

    title: str
    text: str
    pieces: list[tuple[str | None, int, int, str | None]]


_STATE: tuple[Any, ...] = (
    File.id,
    File.owner_id,
    File.original_filename,
    File.mime_type,
    File.size_bytes,
    File.checksum,
    File.status,
    File.stage,
    File.chunks_processed,
    File.total_chunks_expected,
    File.chunks_count,
    File.error_message,
    File.attempts,
    File.started_at,
    File.finished_at,
    File.created_at,
)
_NEWEST_FIRST = (File.created_at.desc(), File.id.desc())


def reachable(owner: str | None) -> ColumnElement[bool]:
    """Files that `owner` may use when they know the id, as `services.principals.may_reach` has it."""
    return File.owner_id.is_(None) if owner is None else or_(File.owner_id.is_(None), File.owner_id == owner)


def _of(owner: str | None) -> ColumnElement[bool]:
    return File.owner_id.is_(None) if owner is None else File.owner_id == owner


class FileRepository:
    """The files as one session sees them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, values: Iterable[Mapping[str, Any]]) -> None:
        """Add files; the values are the table's columns, without those of `FILE_WAITING`."""
        rows = [{**FILE_WAITING, "chunks_count": 0, **one} for one in values]
        if rows:
            await self._session.execute(insert(File), rows)

    async def find(self, file_id: str, owner: str | None) -> FileState | None:
        found = await self._states(select(*_STATE).where(File.id == file_id, reachable(owner)), owner)
        return found[0] if found else None

    async def views(self, file_ids: Iterable[str], owner: str | None) -> dict[str, FileState]:
        """Those of the files that are there, by id."""
        query = select(*_STATE).where(File.id.in_(list(file_ids)), reachable(owner))
        return {file.id: file for file in await self._states(query, owner)}

    async def hold(self, file_id: str, owner: str | None) -> bool:
        """Keep a file from being deleted until the transaction ends; whether it is there."""
        query = select(File.id).where(File.id == file_id, reachable(owner))
        return (await self._session.execute(_kept(query))).one_or_none() is not None

    async def hold_chat(self, chat_id: str, owner: str | None) -> bool:
        """The same for a chat."""
        query = select(Chat.id).where(Chat.id == chat_id, reachable_chat(owner))
        return (await self._session.execute(_kept(query))).one_or_none() is not None

    async def hold_quota(self, owner: str | None) -> bool:
        """Take the owner's turn: until the transaction ends nobody else adds a file of theirs. False: no such user."""
        if owner is not None:
            query = select(User.id).where(User.id == owner).with_for_update(key_share=True)
            return (await self._session.execute(query)).one_or_none() is not None
        if self._session.get_bind().dialect.name == "postgresql":  # SQLite has one writer in all
            await self._session.execute(select(func.pg_advisory_xact_lock(_NOBODYS_LOCK)))
        return True

    async def used(self, owner: str | None) -> tuple[int, int]:
        """How many bytes an owner's files have, and how many files there are; None: nobody's."""
        query = select(func.coalesce(func.sum(File.size_bytes), 0), func.count()).where(_of(owner))
        size, count = (await self._session.execute(query)).one()
        return int(size), int(count)

    async def by_checksum(
        self, owner: str | None, chat_id: str | None, checksums: Iterable[str]
    ) -> dict[str, tuple[str, str]]:
        """`(id, status)` of the owner's files with these bytes, by checksum: of nobody's, those in the chat alone.

        They are kept from being deleted until the transaction ends.
        """
        columns: tuple[Any, ...] = (File.checksum, File.id, File.status)
        query: Select[Any] = select(*columns).where(_of(owner), File.checksum.in_(list(checksums)))
        if owner is None:
            there = exists().where(ChatFile.file_id == File.id, ChatFile.chat_id == chat_id)
            query = query.where(there).order_by(File.id.desc())  # the oldest comes last, and stays
        return {row[0]: (row[1], row[2]) for row in await self._session.execute(_kept(query))}

    async def page(self, owner: str, offset: int, limit: int) -> tuple[list[FileState], int]:
        """Some of a user's files, the newest first, and how many there are in all."""
        return await self._page(File.owner_id == owner, offset, limit, owner)

    async def failed(self, offset: int, limit: int) -> tuple[list[FileState], int]:
        """Some of everybody's files that could not be read, and how many there are in all."""
        return await self._page(File.status == "failed", offset, limit, None)

    async def attach(self, chat_id: str, file_ids: Iterable[str], at: datetime) -> None:
        """Have the files belong to the chat; nothing happens to those that do."""
        insert_into: Any = sqlite.insert if self._session.get_bind().dialect.name == "sqlite" else postgresql.insert
        rows = [{"chat_id": chat_id, "file_id": file_id, "attached_at": at} for file_id in file_ids]
        if rows:
            await self._session.execute(insert_into(ChatFile).on_conflict_do_nothing(), rows)

    async def detach(self, chat_id: str, file_id: str) -> None:
        await self._session.execute(delete(ChatFile).where(ChatFile.chat_id == chat_id, ChatFile.file_id == file_id))

    async def restart(self, file_ids: Sequence[str], at: datetime) -> list[str]:
        """Have files be read anew, but for those that are just being read; the ids of those that will be."""
        again = (
            update(File)
            .where(File.id.in_(file_ids), File.status != "processing")
            .values(**FILE_WAITING, updated_at=at)
            .returning(File.id)
        )
        return list((await self._session.execute(again)).scalars())

    async def fail(self, file_ids: Sequence[str], message: str, at: datetime) -> int:
        """Give up on files that wait; how many it were."""
        values = {"status": "failed", "error_message": message, "finished_at": at, "updated_at": at}
        failed = (
            update(File).where(File.id.in_(file_ids), File.status == "uploaded").values(**values).returning(File.id)
        )
        return len((await self._session.execute(failed)).all())

    async def lock(self, file_ids: Iterable[str], owner: str | None) -> list[tuple[str, str | None]]:
        """`(id, owner)` of those of the files that are there; nobody else changes them until the transaction ends."""
        query = select(File.id, File.owner_id).where(File.id.in_(list(file_ids)), reachable(owner)).order_by(File.id)
        return [(row[0], row[1]) for row in await self._session.execute(query.with_for_update())]

    async def remove(self, file_ids: Sequence[str]) -> None:
        """Remove files with all that hangs on them."""
        await self._session.execute(delete(File).where(File.id.in_(file_ids)))

    async def indexed_texts(self, document_id: str) -> IndexedTexts | None:
        query = select(Document.title, Document.text).where(Document.id == document_id)
        found = (await self._session.execute(query)).one_or_none()
        if found is None:
            return None
        pieces = select(Chunk.section, Chunk.start, Chunk.end, Chunk.question).where(Chunk.document_id == document_id)
        rows = await self._session.execute(pieces)
        return IndexedTexts(found[0], found[1], [(row[0], row[1], row[2], row[3]) for row in rows])

    async def ids_of(self, owner: str, limit: int) -> list[str]:
        """Some of a user's files."""
        return list((await self._session.execute(select(File.id).where(File.owner_id == owner).limit(limit))).scalars())

    async def loose(self, before: datetime, limit: int) -> list[str]:
        """Nobody's files that came before a moment and belong to no chat, the oldest first."""
        attached = exists().where(ChatFile.file_id == File.id)
        query = select(File.id).where(File.owner_id.is_(None), File.created_at < before, ~attached)
        return list((await self._session.execute(query.order_by(File.created_at, File.id).limit(limit))).scalars())

    async def known(self, file_ids: Sequence[str]) -> set[str]:
        """Those of the ids that are files'."""
        return set((await self._session.execute(select(File.id).where(File.id.in_(file_ids)))).scalars())

    async def waiting(self, before: datetime) -> list[str]:
        """Files that came before a moment and have not been read yet."""
        query = select(File.id).where(File.status == "uploaded", File.created_at < before)
        return list((await self._session.execute(query)).scalars())

    async def _page(
        self, which: ColumnElement[bool], offset: int, limit: int, owner: str | None
    ) -> tuple[list[FileState], int]:
        total = (await self._session.execute(select(func.count()).select_from(File).where(which))).scalar_one()
        if offset >= total:
            return [], total
        # The ids come from the index alone, however many are passed over; the rows only for those that are shown.
        ids = select(File.id).where(which).order_by(*_NEWEST_FIRST).offset(offset).limit(limit)
        found = list((await self._session.execute(ids)).scalars())
        query = select(*_STATE).where(File.id.in_(found)).order_by(*_NEWEST_FIRST)
        return await self._states(query, owner), total

    async def _states(self, query: Select[Any], owner: str | None) -> list[FileState]:
        rows = (await self._session.execute(query)).all()
        if not rows:
            return []
        chats: dict[str, list[str]] = {row[0]: [] for row in rows}
        attached = (
            select(ChatFile.file_id, ChatFile.chat_id)
            .join(Chat, Chat.id == ChatFile.chat_id)
            .where(ChatFile.file_id.in_(list(chats)), reachable_chat(owner))
            .order_by(ChatFile.attached_at, ChatFile.chat_id)
        )
        for file_id, chat_id in await self._session.execute(attached):
            chats[file_id].append(chat_id)
        return [FileState(**row._asdict(), chat_ids=tuple(chats[row[0]])) for row in rows]


def _kept(query: Select[Any]) -> Select[Any]:
    """FOR KEY SHARE: others may change the rows, and not delete them."""
    return query.with_for_update(read=True, key_share=True)
