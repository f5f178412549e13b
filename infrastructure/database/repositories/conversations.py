"""What is read of conversations to go on with them: a chat's state, its latest turns, a run with what it came to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from infrastructure.database.models import Chat, ChatMessage, Run


@dataclass(frozen=True, slots=True)
class ChatState:
    """Whose a chat is, and how far it has come."""

    owner: str | None
    last_position: int


@dataclass(frozen=True, slots=True)
class StoredTurn:
    question: str
    answer: str
    status: str


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as it is kept, with its answer's text."""

    id: str
    chat_id: str
    owner: str | None
    user_message_id: str
    answer_id: str
    answer: str
    outcome: str | None
    model: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    confidence: float | None
    grounded: bool | None
    citations: Sequence[dict[str, Any]]
    finish_reason: str | None
    error_message: str | None
    last_seq: int | None


class ConversationRepository:
    """Conversations as one session sees them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def state(self, chat_id: str) -> ChatState | None:
        row = (
            await self._session.execute(select(Chat.user_id, Chat.last_position).where(Chat.id == chat_id))
        ).one_or_none()
        return None if row is None else ChatState(row[0], row[1])

    async def turns(self, chat_id: str, before: int, limit: int) -> list[StoredTurn]:
        """The newest `limit` turns of the current branch that have an answer and stand before a position, oldest
        first.
        """
        question = aliased(ChatMessage)
        query = (
            select(question.content, ChatMessage.content, ChatMessage.status)
            .join(question, question.id == ChatMessage.parent_id)
            .where(ChatMessage.chat_id == chat_id, ChatMessage.position < before, ChatMessage.role == "assistant")
            .where(ChatMessage.superseded_at.is_(None))
            .order_by(ChatMessage.position.desc())
            .limit(limit)
        )
        rows = (await self._session.execute(query)).all()
        return [StoredTurn(*row) for row in reversed(rows)]

    async def run(self, run_id: str) -> StoredRun | None:
        query = (
            select(
                Run.id, Run.chat_id, Chat.user_id, Run.user_message_id, Run.answer_id,
                func.coalesce(ChatMessage.content, ""), Run.outcome, Run.model, Run.prompt_tokens,
                Run.completion_tokens, Run.confidence, Run.grounded, Run.citations, Run.finish_reason,
                Run.error_message, Run.last_seq,
            )
            .join(Chat, Chat.id == Run.chat_id)
            .outerjoin(ChatMessage, ChatMessage.id == Run.answer_id)
            .where(Run.id == run_id)
        )  # fmt: skip
        row = (await self._session.execute(query)).one_or_none()
        if row is None:
            return None
        values = list(row)
        values[12] = values[12] or ()
        return StoredRun(*values)

    async def has_message(self, message_id: str) -> bool:
        query = select(ChatMessage.id).where(ChatMessage.id == message_id)
        return (await self._session.execute(query)).one_or_none() is not None

    async def unfinished_of(self, run_ids: Sequence[str]) -> set[str]:
        """Those of these runs that are under way."""
        query = select(Run.id).where(Run.id.in_(run_ids), Run.outcome.is_(None))
        return set((await self._session.execute(query)).scalars())

    async def unfinished(self, chat_id: str) -> tuple[str, str] | None:
        """The oldest run under way in a chat, and the id of its answer."""
        query = select(Run.id, Run.answer_id).where(Run.chat_id == chat_id, Run.outcome.is_(None))
        row = (await self._session.execute(query.order_by(Run.answer_position).limit(1))).one_or_none()
        return None if row is None else (row[0], row[1])

    async def retitle(self, chat_id: str, title: str, instead_of: str, at: datetime) -> bool:
        """Give a chat another title, if it still has the one that it is to take the place of."""
        change = (
            update(Chat)
            .where(Chat.id == chat_id, Chat.title == instead_of)
            .values(title=title, updated_at=at)
            .returning(Chat.id)
        )
        return (await self._session.execute(change)).one_or_none() is not None
