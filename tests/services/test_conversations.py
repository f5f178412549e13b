"""Conversations on both databases: what is acknowledged is there, once, also when the database was away meanwhile."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text
from structlog.testing import capture_logs

from infrastructure.database import engine
from infrastructure.database.engine import Database, open_engine
from infrastructure.database.models import new_id
from infrastructure.database.repositories.conversations import ChatState, StoredTurn
from infrastructure.database.repositories.turns import BegunTurn, KnownTurn, NewTurn
from infrastructure.database.rows import Rows
from infrastructure.database.sqlite_writer import Then
from infrastructure.errors import StorageUnavailable, Unauthorized
from services import conversations as module
from services.conversations import Conversations
from services.sessions import SessionManager, Turn
from tests.databases import PostgresServer
from tests.infrastructure.database.turning import START, Turns, ended, new_turn
from tests.services.chat_rows import Time, TurnRow, add_chat, add_user

Kept = list[tuple[str, str, str]]


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest_asyncio.fixture
async def kept(database: Database, clock: Time) -> AsyncIterator[Conversations]:
    conversations = Conversations(database, clock=clock)
    yield conversations
    await conversations.aclose()


async def begun(kept: Conversations, turn: NewTurn) -> BegunTurn:
    result = await kept.begin(turn)
    assert isinstance(result, BegunTurn)
    return result


async def exchange(kept: Conversations, chat: str, question: str, answer: str, **fields: Any) -> NewTurn:
    turn = new_turn(chat, question, **fields)
    await kept.end(ended(turn, await begun(kept, turn), answer))
    return turn


async def said(database: Database, chat: str) -> Kept:
    """Role, text and status of a chat's messages."""
    return [(row.role, row.content, row.status) for row in await Turns(database).messages(chat)]


# Away, and back


class Faulty(Database):
    """A real database that fails when it is told to: before a transaction, or after its commit was lost on the way."""

    def __init__(self, url: str) -> None:
        super().__init__(open_engine(url))
        self.faults: list[str] = []

    def transact_soon(self, work: Callable[[Rows], Coroutine[Any, Any, Any]], then: Then[Any]) -> None:
        self._transact_in_task(work, then)

    async def transact(self, work: Callable[[Rows], Coroutine[Any, Any, Any]]) -> Any:
        fault = self.faults.pop(0) if self.faults else None
        if fault == "before":
            raise ConnectionRefusedError
        result = await super().transact(work)
        if fault == "after":
            raise ConnectionResetError
        return result

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Any]:
        if self.faults and self.faults[0] == "read":
            self.faults.pop(0)
            raise ConnectionRefusedError
        async with super().read() as session:
            yield session


@pytest_asyncio.fixture
async def faulty(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Faulty]:
    monkeypatch.setattr(module, "END_PAUSES", (0.01, 0.01, 0.01))
    database = Faulty(database_url)
    yield database
    await database.close()


@pytest.mark.parametrize(
    "faults",
    [
        ["before"],
        ["before", "before", "before"],
        ["before", "read", "before"],
        ["after"],  # it was committed: found by looking
        ["after", "read"],  # looking fails too: found by trying again
        ["before", "after", "read"],
    ],
)
async def test_an_answer_is_kept_once_whatever_fails_meanwhile(faulty: Faulty, faults: list[str]) -> None:
    kept = Conversations(faulty, clock=Time())
    turn = new_turn(new_id())
    its = await begun(kept, turn)
    faulty.faults = list(faults)
    await kept.end(ended(turn, its))
    assert faulty.faults == []
    assert await said(faulty, turn.chat_id) == [("user", "Why?", "complete"), ("assistant", "Because.", "complete")]
    assert (await Turns(faulty).chat(turn.chat_id)).message_count == 2


async def test_an_answer_that_cannot_be_kept_is_given_up_in_the_end(faulty: Faulty) -> None:
    kept = Conversations(faulty, clock=Time())
    turn = new_turn(new_id())
    its = await begun(kept, turn)
    faulty.faults = ["before"] * 4
    with pytest.raises(StorageUnavailable):
        await kept.end(ended(turn, its))
    assert await said(faulty, turn.chat_id) == [("user", "Why?", "complete")]


async def test_a_question_that_cannot_be_kept_is_refused(faulty: Faulty) -> None:
    kept = Conversations(faulty, clock=Time())
    faulty.faults = ["before"]
    with pytest.raises(StorageUnavailable):
        await kept.begin(new_turn(new_id()))
    assert isinstance(await kept.begin(new_turn(new_id())), BegunTurn)


@pytest.fixture
def file_url(sqlite_template: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'chats.db')}"


async def test_a_locked_file_is_waited_for(file_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 20)
    monkeypatch.setattr(module, "END_PAUSES", (0.01,) * 500)
    ours, theirs = Database(open_engine(file_url)), Database(open_engine(file_url))
    kept = Conversations(ours, clock=Time())
    turn = new_turn(new_id())
    its = await begun(kept, turn)
    async with theirs.write() as session:
        await session.execute(text("UPDATE chat SET title = 'Locked'"))
        ending = asyncio.create_task(kept.end(ended(turn, its)))
        with pytest.raises(StorageUnavailable):  # its turn comes behind the answer's first try
            await kept.begin(new_turn(new_id()))
        assert not ending.done()
    await asyncio.wait_for(ending, 30)
    assert len(await said(ours, turn.chat_id)) == 2
    await ours.close()
    await theirs.close()


async def test_postgresql_may_restart_while_answers_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "END_PAUSES", (0.05,) * 200)
    server = await asyncio.to_thread(PostgresServer)  # of its own: others use the session's
    try:
        database = Database(open_engine(server.url("template_askgraph")))
        kept = Conversations(database, clock=Time())
        chats = [new_turn(new_id()) for _ in range(20)]
        its = await asyncio.gather(*(begun(kept, turn) for turn in chats))
        last = new_turn(new_id())
        last_begun = await begun(kept, last)
        with capture_logs() as log:
            stopping = asyncio.create_task(asyncio.to_thread(server._server.stop))
            ending: list[asyncio.Task[None]] = []
            for turn, begun_turn in zip(chats, its, strict=True):
                ending.append(asyncio.create_task(kept.end(ended(turn, begun_turn))))
                await asyncio.sleep(0.02)
            await stopping
            ending.append(asyncio.create_task(kept.end(ended(last, last_begun))))
            async with asyncio.timeout(30):
                while not any(line["event"] == "database does not take a transaction" for line in log):  # noqa: ASYNC110  a log tells nobody
                    await asyncio.sleep(0.01)
            await asyncio.to_thread(server._server.start)
            await asyncio.gather(*ending)
        for turn in (*chats, last):
            assert len(await said(database, turn.chat_id)) == 2
            assert (await Turns(database).chat(turn.chat_id)).message_count == 2
        await kept.aclose()
        await database.close()
    finally:
        await asyncio.to_thread(server.stop)


# What is kept, and what is not


async def test_a_chat_that_was_deleted_meanwhile_keeps_nothing(kept: Conversations, database: Database) -> None:
    turn = new_turn(new_id())
    its = await begun(kept, turn)
    async with database.write() as session:
        await session.execute(text("DELETE FROM chat"))
    await kept.end(ended(turn, its))
    assert await said(database, turn.chat_id) == []
    assert await kept.run(turn.run_id) is None


async def test_a_question_of_an_account_that_is_gone_is_refused(kept: Conversations, database: Database) -> None:
    other = new_turn(new_id())
    refused, fine = await asyncio.gather(
        kept.begin(new_turn(new_id(), owner=new_id())), kept.begin(other), return_exceptions=True
    )
    assert isinstance(refused, Unauthorized)
    assert isinstance(fine, BegunTurn)


async def test_a_request_id_is_known_after_the_process_is_gone(kept: Conversations, database: Database) -> None:
    turn = await exchange(kept, new_id(), "Why?", "Because.", request_id="r1", digest="d")
    later = Conversations(database, clock=Time())
    assert await later.begin(new_turn(turn.chat_id, request_id="r1", digest="d")) == KnownTurn(
        turn.run_id, turn.message_id, turn.answer_id
    )


async def test_a_run_is_read_with_its_answer_and_whose_it_is(kept: Conversations, database: Database) -> None:
    ada = await add_user(database)
    turn = new_turn(new_id(), owner=ada)
    its = await begun(kept, turn)
    under_way = await kept.run(turn.run_id)
    assert under_way is not None
    assert (under_way.outcome, under_way.answer, under_way.owner, under_way.citations) == (None, "", ada, ())
    facts = {"outcome": "complete", "citations": [{"id": 1}], "model": "m", "last_seq": 7}
    await kept.end(ended(turn, its, "Because [1].", run=facts))
    run = await kept.run(turn.run_id)
    assert run is not None
    assert (run.outcome, run.answer, run.citations, run.model) == ("complete", "Because [1].", [{"id": 1}], "m")
    assert (run.chat_id, run.user_message_id, run.answer_id) == (turn.chat_id, turn.message_id, turn.answer_id)
    assert await kept.run(new_id()) is None


async def test_a_chats_state_says_whose_it_is_and_how_far_it_has_come(kept: Conversations, database: Database) -> None:
    ada = await add_user(database)
    hers = (await add_chat(database, ada, turns=[("q", "a"), ("q", "a")])).id
    nobodys = (await add_chat(database)).id
    assert await kept.state(hers) == ChatState(ada, 4)
    assert await kept.state(nobodys) == ChatState(None, 0)
    assert await kept.state(new_id()) is None


async def test_a_chat_is_retitled_unless_somebody_was_quicker(
    kept: Conversations, database: Database, clock: Time
) -> None:
    chat = (await add_chat(database, title="Why?")).id
    clock.pass_by(hours=1)
    assert await kept.retitle(chat, "Reasons", "Why?")
    assert not await kept.retitle(chat, "Other reasons", "Why?")
    assert not await kept.retitle(new_id(), "Reasons", "Why?")
    row = await Turns(database).chat(chat)
    assert (row.title, row.updated_at) == ("Reasons", START + timedelta(hours=1))


async def test_closing_waits_for_what_is_being_kept(database: Database) -> None:
    kept = Conversations(database, clock=Time())
    asked = [asyncio.create_task(kept.begin(new_turn(new_id()))) for _ in range(5)]
    await asyncio.sleep(0)
    await kept.aclose()
    assert all(task.done() for task in asked)


# History


async def test_history_is_the_newest_turns_oldest_first(kept: Conversations, database: Database) -> None:
    chat = (await add_chat(database, turns=[(f"q{n}", f"a{n}") for n in range(1, 6)])).id
    assert await kept.turns(chat, 99, 2) == [StoredTurn("q4", "a4", "complete"), StoredTurn("q5", "a5", "complete")]
    assert [turn.question for turn in await kept.turns(chat, 99, 50)] == ["q1", "q2", "q3", "q4", "q5"]
    assert [turn.question for turn in await kept.turns(chat, 7, 2)] == ["q2", "q3"]
    assert await kept.turns(chat, 1, 50) == []
    assert await kept.turns(chat, 99, 0) == []
    assert await kept.turns(new_id(), 99, 50) == []


async def test_history_says_how_each_turn_ended(kept: Conversations, database: Database) -> None:
    rows = [TurnRow("q1", "part of", "incomplete"), TurnRow("q2", "", "error"), TurnRow("q3", "a3")]
    chat = (await add_chat(database, turns=rows)).id
    assert await kept.turns(chat, 99, 50) == [
        StoredTurn("q1", "part of", "incomplete"), StoredTurn("q2", "", "error"), StoredTurn("q3", "a3", "complete"),
    ]  # fmt: skip


async def test_questions_that_wait_for_their_answer_take_no_place_in_history(
    kept: Conversations, database: Database
) -> None:
    waiting = [TurnRow(f"w{number}", None) for number in range(4)]
    chat = (await add_chat(database, turns=[("q1", "a1"), ("q2", "a2"), ("q3", "a3"), *waiting])).id
    assert [turn.question for turn in await kept.turns(chat, 99, 2)] == ["q2", "q3"]


async def test_history_is_of_the_branch_that_stands(kept: Conversations) -> None:
    chat = new_id()
    await exchange(kept, chat, "q1", "a1")
    second = await exchange(kept, chat, "q2", "a2")
    await exchange(kept, chat, "q3", "a3")
    edit = await exchange(kept, chat, "q2, rather", "b2", edits=second.message_id)
    await exchange(kept, chat, "q4", "a4")
    again = await exchange(kept, chat, "", "b2, better", regenerates=edit.message_id)
    last = await exchange(kept, chat, "q5", "a5")
    turns = [(turn.question, turn.answer) for turn in await kept.turns(chat, 99, 50)]
    assert turns == [("q1", "a1"), ("q2, rather", "b2, better"), ("q5", "a5")]
    assert again.run_id != last.run_id


async def test_a_session_goes_on_with_what_another_process_added(kept: Conversations, database: Database) -> None:
    chat = new_id()
    ours, theirs = SessionManager(kept), SessionManager(Conversations(database, clock=Time()))
    seen = []
    for manager, number in ((ours, 1), (theirs, 2), (ours, 3), (ours, 4), (theirs, 5)):
        session = await manager.open(chat)
        turn = new_turn(chat, f"q{number}")
        its = await manager.begin(session, turn)
        assert isinstance(its, BegunTurn)
        await manager.refresh(session, its.asked_at)
        seen.append([past.question for past in session.history()])
        session.save(Turn(turn.question, "Because.", "complete"))
        await kept.end(ended(turn, its))
    assert seen == [[], ["q1"], ["q1", "q2"], ["q1", "q2", "q3"], ["q1", "q2", "q3", "q4"]]
