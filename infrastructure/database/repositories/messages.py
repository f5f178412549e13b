"""Queries of messages, with what their runs say of them and what readers thought. Ownership is the chat's."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, bindparam, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.models import Chat, ChatMessage, Feedback, Run
from infrastructure.database.repositories.chats import reachable
from infrastructure.database.rows import Rows


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message. What its run tells (from `citations` on) is None, or [], on a message that no run wrote.

    `superseded_at`: since when it belongs to an older branch. `feedback`: None or `{"is_positive", "feedback_text"}`.
    """

    id: str
    chat_id: str
    role: str
    content: str
    tool_calls: list[Any] | None
    tool_call_id: str | None
    created_at: datetime
    citations: list[dict[str, Any]]
    confidence: float | None
    model: str | None
    status: str
    parent_id: str | None
    run_id: str | None
    superseded_at: datetime | None
    prompt_tokens: int | None
    completion_tokens: int | None
    duration_ms: float | None
    feedback: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class FeedbackView:
    """What a reader thought of an answer, and when they last said so."""

    message_id: str
    is_positive: bool
    feedback_text: str | None
    created_at: datetime


_VIEW = (
    ChatMessage.id,
    ChatMessage.chat_id,
    ChatMessage.role,
    ChatMessage.content,
    ChatMessage.tool_calls,
    ChatMessage.tool_call_id,
    ChatMessage.created_at,
    Run.citations,
    Run.confidence,
    Run.model,
    ChatMessage.status,
    ChatMessage.parent_id,
    ChatMessage.run_id,
    ChatMessage.superseded_at,
    Run.prompt_tokens,
    Run.completion_tokens,
    Run.duration_ms,
    Feedback.is_positive,
    Feedback.feedback_text,
)
_NAMES = tuple(column.key for column in _VIEW)
_FEEDBACK = (Feedback.message_id, Feedback.is_positive, Feedback.feedback_text, Feedback.created_at)


class MessageRepository:
    """The messages as one session sees them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def of_chat(self, chat_id: str, owner: str | None, *, superseded: bool = False) -> list[MessageView]:
        """A chat's messages in order: those that stand, or with `superseded` the older branches' too."""
        query = _views(chat_id, owner).order_by(ChatMessage.position)
        if not superseded:
            query = query.where(ChatMessage.superseded_at.is_(None))
        return [_view(row) for row in await self._session.execute(query)]

    async def find(self, chat_id: str, owner: str | None, *message_ids: str) -> dict[str, MessageView]:
        """Those of the messages that are there, by id."""
        rows = await self._session.execute(_views(chat_id, owner).where(ChatMessage.id.in_(message_ids)))
        return {view.id: view for view in map(_view, rows)}

    async def lock(self, chat_id: str, message_id: str, owner: str | None) -> str | None:
        """The role of a message that nobody else changes or removes until the transaction ends; None: no such one."""
        query = (
            select(ChatMessage.role)
            .join(Chat, Chat.id == ChatMessage.chat_id)
            .where(ChatMessage.id == message_id, ChatMessage.chat_id == chat_id, reachable(owner))
            .with_for_update(of=ChatMessage)
        )
        return (await self._session.execute(query)).scalar_one_or_none()

    async def set_feedback(
        self, message_id: str, is_positive: bool, feedback_text: str | None, at: datetime
    ) -> FeedbackView:
        """Keep what a reader thinks of a message (a locked one), in the place of what there was."""
        values = {"is_positive": is_positive, "feedback_text": feedback_text, "created_at": at}
        again = update(Feedback).where(Feedback.message_id == message_id).values(**values).returning(*_FEEDBACK)
        row = (await self._session.execute(again)).one_or_none()
        if row is None:
            first = insert(Feedback).values(message_id=message_id, **values).returning(*_FEEDBACK)
            row = (await self._session.execute(first)).one()
        return FeedbackView(*row)


async def two_messages(
    rows: Rows, chat_id: str, owner: str | None, first_id: str, second_id: str
) -> tuple[MessageView, MessageView] | None:
    """Two messages of a chat that may be reached; None where one is not there. The lean way, as each answer is read."""
    key = {"first_id": first_id, "second_id": second_id, "chat_id": chat_id, "owner": owner}
    found = {view.id: view for view in map(_view, await rows.find(_TWO, [key]))}
    return (found[first_id], found[second_id]) if len(found) == len({first_id, second_id}) else None


def _joined() -> Select[Any]:
    wrote = and_(Run.id == ChatMessage.run_id, Run.answer_id == ChatMessage.id)
    return (
        select(*_VIEW)
        .join(Chat, Chat.id == ChatMessage.chat_id)
        .outerjoin(Run, wrote)
        .outerjoin(Feedback, Feedback.message_id == ChatMessage.id)
    )


_TWO = _joined().where(
    or_(ChatMessage.id == bindparam("first_id"), ChatMessage.id == bindparam("second_id")),
    ChatMessage.chat_id == bindparam("chat_id"),
    or_(Chat.user_id.is_(None), Chat.user_id == bindparam("owner")),
)


def _views(chat_id: str, owner: str | None) -> Select[Any]:
    return _joined().where(ChatMessage.chat_id == chat_id, reachable(owner))


def _view(row: Sequence[Any]) -> MessageView:
    fields = dict(zip(_NAMES, row, strict=True))
    positive, said = fields.pop("is_positive"), fields.pop("feedback_text")
    fields["citations"] = fields["citations"] or []
    feedback = None if positive is None else {"is_positive": positive, "feedback_text": said}
    return MessageView(**fields, feedback=feedback)
