"""Turns made for tests, and what is in a chat afterwards."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.group_commit import GroupCommit
from infrastructure.database.models import Chat, ChatMessage, Run, new_id
from infrastructure.database.repositories.turns import (
    BegunTurn,
    EndedTurn,
    KnownTurn,
    NewTurn,
    Turn,
    TurnResult,
    apply_turns,
)

START = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)


def new_turn(chat_id: str, question: str = "Why?", **fields: Any) -> NewTurn:
    """A question, with new ids for everything."""
    known: dict[str, Any] = {
        "chat_id": chat_id, "owner": None, "question": question, "run_id": new_id(), "message_id": new_id(),
        "answer_id": new_id(), "worker": "test", "at": START,
    }  # fmt: skip
    return NewTurn(**(known | fields))


def ended(turn: NewTurn, begun: BegunTurn, answer: str = "Because.", **fields: Any) -> EndedTurn:
    """The answer to a turn."""
    known: dict[str, Any] = {
        "chat_id": turn.chat_id, "run_id": turn.run_id, "answer_id": turn.answer_id, "message_id": begun.message_id,
        "position": begun.position, "answer": answer, "status": "complete", "at": turn.at, "title": None,
        "run": {"outcome": "complete"},
    }  # fmt: skip
    return EndedTurn(**(known | fields))


class Turns:
    """One process's writer of turns."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.group: GroupCommit[Turn, TurnResult] = GroupCommit(database, apply_turns, lambda turn: turn.chat_id)

    async def begin(self, turn: NewTurn) -> BegunTurn:
        begun = await self.group.submit(turn)
        assert isinstance(begun, BegunTurn)
        return begun

    async def begin_or_join(self, turn: NewTurn) -> BegunTurn | KnownTurn:
        begun = await self.group.submit(turn)
        assert begun is not None
        return begun

    async def end(self, turn: NewTurn, begun: BegunTurn, answer: str = "Because.", **fields: Any) -> None:
        assert await self.group.submit(ended(turn, begun, answer, **fields)) is None

    async def exchange(self, chat_id: str, question: str = "Why?", answer: str = "Because.", **fields: Any) -> NewTurn:
        """A question and its answer."""
        turn = new_turn(chat_id, question, **fields)
        await self.end(turn, await self.begin(turn), answer)
        return turn

    async def messages(self, chat_id: str) -> Sequence[ChatMessage]:
        """All, also of older branches, by position."""
        async with self.database.read() as session:
            query = select(ChatMessage).where(ChatMessage.chat_id == chat_id).order_by(ChatMessage.position)
            return (await session.execute(query)).scalars().all()

    async def current(self, chat_id: str) -> list[str]:
        """What the conversation says as it stands."""
        return [message.content for message in await self.messages(chat_id) if message.superseded_at is None]

    async def chat(self, chat_id: str) -> Chat:
        async with self.database.read() as session:
            return (await session.execute(select(Chat).where(Chat.id == chat_id))).scalar_one()

    async def run(self, run_id: str) -> Run:
        async with self.database.read() as session:
            return (await session.execute(select(Run).where(Run.id == run_id))).scalar_one()

    async def count(self, table: type[Chat | ChatMessage | Run]) -> int:
        async with self.database.read() as session:
            return (await session.execute(select(func.count()).select_from(table))).scalar_one()


@asynccontextmanager
async def another_process(url: str) -> AsyncIterator[Turns]:
    """A writer that shares nothing with others but the database."""
    database = Database(open_engine(url))
    turns = Turns(database)
    yield turns
    await turns.group.aclose()
    await database.close()
