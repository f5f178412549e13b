"""What the database holds after a crash, compared with what clients were told before it."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import func, select, text

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.models import Chat, ChatMessage, Run
from tests.e2e.crash_load import Asked

OUTCOMES = {"complete", "no_relevant_answer"}


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """The database that a service has, beside it."""
    database = Database(open_engine(url))
    try:
        yield database
    finally:
        await database.close()


async def check_database(database: Database, *, all_ended: bool) -> None:
    """What holds of every database: whole, every message in one place, counts that are right, runs as their answers.

    `all_ended`: no run is under way, nor left so.
    """
    async with database.read() as session:
        if database.is_sqlite:
            assert (await session.execute(text("PRAGMA integrity_check"))).all() == [("ok",)]
            assert (await session.execute(text("PRAGMA foreign_key_check"))).all() == []
        chats = (await session.execute(select(Chat.id, Chat.message_count, Chat.last_position))).all()
        columns = (ChatMessage.id, ChatMessage.chat_id, ChatMessage.position, ChatMessage.role, ChatMessage.status)
        messages = (await session.execute(select(*columns, ChatMessage.run_id, ChatMessage.parent_id))).all()
        runs = (
            await session.execute(select(Run.id, Run.chat_id, Run.answer_id, Run.answer_position, Run.outcome))
        ).all()
    by_chat: dict[str, list[Any]] = defaultdict(list)
    for message in messages:
        by_chat[message.chat_id].append(message)
    taken = Counter((message.chat_id, message.position) for message in messages)
    assert set(taken.values()) <= {1}, "two messages in one place"
    last = {chat_id: 0 for chat_id, _, _ in chats}
    for run in runs:
        last[run.chat_id] = max(last[run.chat_id], run.answer_position)
    unanswered = Counter(run.chat_id for run in runs if run.outcome is None)  # an answer counts from its question on
    for chat_id, count, last_position in chats:
        held = len(by_chat[chat_id]) + unanswered[chat_id]
        assert (held, last[chat_id]) == (count, last_position), "a chat that is not as its messages"
    _check_runs(runs, messages, all_ended)


def _check_runs(runs: Sequence[Any], messages: Sequence[Any], all_ended: bool) -> None:
    answers = {message.run_id: message for message in messages if message.role == "assistant"}
    assert len(answers) == sum(message.role == "assistant" for message in messages)
    for run in runs:
        answer = answers.pop(run.id, None)
        if run.outcome is None:
            assert answer is None
            assert not all_ended, "a run that nobody ends"
        else:
            assert answer is not None
            assert (answer.id, answer.position, answer.chat_id) == (run.answer_id, run.answer_position, run.chat_id)
            assert (answer.status == "complete") == (run.outcome in OUTCOMES)
    assert not answers, "answers that no run wrote"


async def check_acknowledged(database: Database, asked: Sequence[Asked]) -> None:
    """Whatever was acknowledged is there exactly once; what was not, at most once."""
    for start in range(0, len(asked), 500):
        part = asked[start : start + 500]
        texts = [one.text for one in part]
        async with database.read() as session:
            counted = select(ChatMessage.content, func.count()).where(ChatMessage.content.in_(texts))
            count = {row[0]: row[1] for row in await session.execute(counted.group_by(ChatMessage.content))}
            columns = (ChatMessage.content, ChatMessage.id, ChatMessage.chat_id, Run.id, Run.answer_id)
            query = select(*columns).join(Run, Run.user_message_id == ChatMessage.id)
            found = {row[0]: row for row in await session.execute(query.where(ChatMessage.content.in_(texts)))}
            ids = [row[4] for row in found.values()]
            saying = select(ChatMessage.id, ChatMessage.content).where(ChatMessage.id.in_(ids))
            said = {row[0]: row[1] for row in await session.execute(saying)}
        for one in part:
            assert count.get(one.text, 0) <= 1, "a question that is there twice"
            if one.kept:
                _check_kept(one, found.get(one.text), said)


def _check_kept(one: Asked, row: Any, said: dict[str, str]) -> None:
    assert row is not None, "a question that was acknowledged is lost"
    _, message_id, chat_id, run_id, answer_id = row
    assert chat_id == one.chat_id
    assert run_id == (one.run_id or run_id)
    assert message_id == (one.message_id or message_id)
    if one.answer is not None:
        assert said.get(answer_id) == one.answer, "an answer that was acknowledged is lost, or another"
        assert answer_id == (one.answer_id or answer_id)
