"""Chats as they are after questions were asked: rows put in through the models."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from infrastructure.database.engine import Database
from infrastructure.database.models import Chat, ChatMessage, Run, User, new_id

START = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
CITATION: dict[str, Any] = {
    "id": 2,
    "document": "defi/lending.md",
    "document_id": "0199f3a0-0000-7000-8000-000000000001",
    "chunk_id": "0199f3a0-0000-7000-8000-000000000002",
    "section": "Health factor",
    "start": 10,
    "end": 31,
    "quote": "below one: liquidated",
    "score": 0.97,
}


class Time:
    """A clock that stands still unless it is moved on."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **time: float) -> None:
        self.now += timedelta(**time)


@dataclass(frozen=True, slots=True)
class TurnRow:
    """`answer` None: the run is still under way."""

    question: str
    answer: str | None = "An answer."
    status: str = "complete"
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class ChatRow:
    """The ids of a chat and of what is in it, in order."""

    id: str
    questions: list[str]
    answers: list[str]
    runs: list[str]


async def add_user(database: Database, name: str = "ada") -> str:
    """A user's id."""
    user = User(
        id=new_id(), username=name, username_key=name, email=f"{name}@example.com", email_key=f"{name}@example.com",
        password_hash="", is_active=True, is_admin=False, created_at=START, updated_at=START,
    )  # fmt: skip
    async with database.write() as session:
        session.add(user)
    return user.id


async def add_chat(
    database: Database,
    owner: str | None = None,
    *,
    turns: Sequence[TurnRow | tuple[str, str]] = (),
    at: datetime = START,
    **columns: Any,
) -> ChatRow:
    """A chat with turns. A turn's messages follow those of the turn before; a superseded one is left aside."""
    rows = ChatRow(new_id(), [], [], [])
    made: list[Any] = []
    parent: str | None = None
    for number, given in enumerate(turns):
        turn = given if isinstance(given, TurnRow) else TurnRow(*given)
        made += _turn(rows, turn, 2 * number + 1, parent, at)
        parent = parent if turn.superseded else rows.answers[-1]
    current = sum(isinstance(row, ChatMessage) and row.superseded_at is None for row in made)
    values = {
        "title": None, "details": {}, "is_archived": False, "message_count": current, "last_position": 2 * len(turns),
        "created_at": at, "updated_at": at,
    }  # fmt: skip
    async with database.write() as session:
        session.add(Chat(id=rows.id, user_id=owner, **values | columns))
        await session.flush()  # what refers to it comes after
        session.add_all(made)
    return rows


def _turn(rows: ChatRow, turn: TurnRow, position: int, parent: str | None, at: datetime) -> list[Any]:
    question, answer, run = new_id(), new_id(), new_id()
    rows.questions.append(question)
    rows.answers.append(answer)
    rows.runs.append(run)
    same = {"chat_id": rows.id, "created_at": at, "superseded_at": at if turn.superseded else None}
    made: list[Any] = [
        ChatMessage(
            id=question, position=position, parent_id=parent, role="user", content=turn.question, status="complete",
            **same,
        ),
        Run(
            id=run, chat_id=rows.id, user_message_id=question, answer_id=answer, answer_position=position + 1,
            worker="test", started_at=at, **({} if turn.answer is None else _ended(turn, at)),
        ),
    ]  # fmt: skip
    if turn.answer is not None:
        made.append(
            ChatMessage(
                id=answer, position=position + 1, parent_id=question, role="assistant", content=turn.answer,
                status=turn.status, run_id=run, **same,
            )
        )  # fmt: skip
    return made


def _ended(turn: TurnRow, at: datetime) -> dict[str, Any]:
    if turn.status != "complete":
        return {"outcome": "cancelled", "finished_at": at}
    return {
        "outcome": "complete", "model": "extractive", "prompt_tokens": 12, "completion_tokens": 7, "confidence": 0.9,
        "grounded": True, "citations": [CITATION], "finish_reason": "stop", "last_seq": 5, "finished_at": at,
        "first_token_ms": 3.0, "duration_ms": 8.5,
    }  # fmt: skip
