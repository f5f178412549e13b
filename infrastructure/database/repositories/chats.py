"""Queries of chats. Whose a chat is stands in the queries: what a caller may not reach is not found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.models import Chat, ChatMessage


@dataclass(frozen=True, slots=True)
class ChatView:
    """A chat without its messages. `user_id` None: anonymous. `message_count` is of the current branch."""

    id: str
    user_id: str | None
    title: str | None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    agent_id: str | None
    is_archived: bool
    message_count: int


_VIEW = (
    Chat.id,
    Chat.user_id,
    Chat.title,
    Chat.details,
    Chat.created_at,
    Chat.updated_at,
    Chat.agent_id,
    Chat.is_archived,
    Chat.message_count,
)
_NEWEST_FIRST = (Chat.updated_at.desc(), Chat.id.desc())


def reachable(owner: str | None) -> ColumnElement[bool]:
    """Chats that `owner` may use when they know the id, as `services.principals.may_reach` has it."""
    return Chat.user_id.is_(None) if owner is None else or_(Chat.user_id.is_(None), Chat.user_id == owner)


class ChatRepository:
    """The chats as one session sees them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, values: Mapping[str, Any]) -> ChatView:
        """Add a chat; `values` are the table's columns."""
        return ChatView(*(await self._session.execute(insert(Chat).values(**values).returning(*_VIEW))).one())

    async def find(self, chat_id: str, owner: str | None) -> ChatView | None:
        row = (await self._session.execute(select(*_VIEW).where(Chat.id == chat_id, reachable(owner)))).one_or_none()
        return None if row is None else ChatView(*row)

    async def change(self, chat_id: str, owner: str | None, values: Mapping[str, Any]) -> ChatView | None:
        """Set columns of a chat; how it is then."""
        change = update(Chat).where(Chat.id == chat_id, reachable(owner)).values(**values).returning(*_VIEW)
        row = (await self._session.execute(change)).one_or_none()
        return None if row is None else ChatView(*row)

    async def remove(self, chat_id: str, owner: str | None) -> bool:
        """Remove a chat with all that hangs on it; whether there was one."""
        gone = delete(Chat).where(Chat.id == chat_id, reachable(owner)).returning(Chat.id)
        return (await self._session.execute(gone)).one_or_none() is not None

    async def page(
        self, owner: str, offset: int, limit: int, *, archived: bool | None = None
    ) -> tuple[list[ChatView], int]:
        """Some of a user's chats, the last changed first, and how many there are in all."""
        listed = _listed(owner, archived)
        total = (await self._session.execute(select(func.count()).select_from(Chat).where(*listed))).scalar_one()
        # The ids come from the index alone, however many are passed over; the rows only for those that are shown.
        ids = select(Chat.id).where(*listed).order_by(*_NEWEST_FIRST).offset(offset).limit(limit)
        found = list((await self._session.execute(ids)).scalars()) if offset < total else []
        return await self._views(found), total

    async def search(
        self, owner: str, words: Sequence[str], offset: int, limit: int, *, archived: bool | None = None
    ) -> tuple[list[ChatView], int]:
        """As `page`, of the chats whose title or a current message contains one of `words`, whatever its case.

        The texts are looked through once, for the page and for the total. The database folds the case of ASCII only
        (SQLite always, PostgreSQL by its locale): other spellings have to be among `words`.
        """
        current = (ChatMessage.chat_id == Chat.id, ChatMessage.superseded_at.is_(None))
        said = exists().where(*current, self._contains(ChatMessage.content, words))
        matching = or_(self._contains(Chat.title, words), said)
        query = select(Chat.id).where(*_listed(owner, archived), matching).order_by(*_NEWEST_FIRST)
        found = list((await self._session.execute(query)).scalars())
        return await self._views(found[offset : offset + limit]), len(found)

    async def remove_idle_anonymous(self, before: datetime, limit: int) -> int:
        """Remove nobody's chats that were last changed before a moment, the oldest first; how many that were."""
        idle = select(Chat.id).where(Chat.user_id.is_(None), Chat.updated_at < before).order_by(Chat.updated_at)
        some = idle.limit(limit).with_for_update(skip_locked=True)  # another worker may be at it too
        gone = await self._session.execute(delete(Chat).where(Chat.id.in_(some)).returning(Chat.id))
        return len(gone.all())

    async def _views(self, ids: Sequence[str]) -> list[ChatView]:
        """The chats of these ids, in their order."""
        if not ids:
            return []
        rows: Select[Any] = select(*_VIEW).where(Chat.id.in_(ids)).order_by(*_NEWEST_FIRST)
        return [ChatView(*row) for row in await self._session.execute(rows)]

    def _contains(self, column: Any, words: Sequence[str]) -> ColumnElement[bool]:
        patterns = [f"%{_escaped(word)}%" for word in words]
        if self._session.get_bind().dialect.name == "sqlite":  # its LIKE folds by itself, ILIKE is put together there
            return or_(*(column.like(pattern, escape="\\") for pattern in patterns))
        return or_(*(column.ilike(pattern, escape="\\") for pattern in patterns))


def _listed(owner: str, archived: bool | None) -> list[ColumnElement[bool]]:
    mine = [Chat.user_id == owner]
    return mine if archived is None else [*mine, Chat.is_archived.is_(archived)]


def _escaped(text: str) -> str:
    """`text` for LIKE, as itself."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
