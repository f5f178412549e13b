"""What is acknowledged is kept first: a question before its run begins, an answer before its last frame is said."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from sqlalchemy import text

from agents.runner import RunHandle
from infrastructure.database.rows import Rows
from infrastructure.errors import NotFound, StorageUnavailable
from services import conversations
from services.sessions import Turn
from tests.agents.fakes import SESSION, ScriptedModel, Service, found, passage, says

QUESTION, ANSWER = "What is the capital of France?", "Paris is the capital of France. [1]"


class Gate:
    """Stands before a service's transactions: holds them back, or lets the next ones fail."""

    def __init__(self, it: Service) -> None:
        self._transact: Callable[[Any], Coroutine[Any, Any, Any]] = it.database.transact
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        self.failures = 0
        it.database.transact = self.transact  # type: ignore[method-assign]
        it.database.transact_soon = it.database._transact_in_task  # type: ignore[method-assign,assignment]

    def close(self) -> None:
        self.open.clear()
        self.reached.clear()

    async def transact(self, work: Callable[[Rows], Coroutine[Any, Any, Any]]) -> Any:
        self.reached.set()
        await self.open.wait()
        if self.failures:
            self.failures -= 1
            raise ConnectionRefusedError
        return await self._transact(work)


def service() -> tuple[Service, Gate]:
    it = Service(ScriptedModel(says(ANSWER)), found(passage()))
    return it, Gate(it)


async def test_a_run_begins_when_its_question_is_kept() -> None:
    it, gate = service()
    gate.close()
    starting = asyncio.create_task(it.start(QUESTION))
    await gate.reached.wait()
    assert not starting.done()
    assert (it.runner.active, it.log.held_runs) == (0, 0)
    gate.open.set()
    run = await starting
    stored = await it.conversations.run(run.id)
    assert stored is not None
    assert (await it.told(run)).end["type"] == "complete"


async def test_the_last_frame_is_said_when_the_answer_is_kept() -> None:
    it, gate = service()
    run = await it.start(QUESTION)
    gate.close()
    await gate.reached.wait()
    assert it.log.answer(run.id) == ANSWER
    ending = asyncio.create_task(it.log.terminal(run.id))
    await asyncio.sleep(0)
    assert not ending.done()
    gate.open.set()
    await ending
    stored = await it.conversations.run(run.id)
    assert stored is not None
    assert (stored.outcome, stored.answer) == ("complete", ANSWER)


async def test_a_question_that_cannot_be_kept_begins_nothing() -> None:
    it, gate = service()
    gate.failures = 1
    with pytest.raises(StorageUnavailable):
        await it.start(QUESTION)
    session = await it.sessions.open(SESSION)
    assert (session.busy, it.runner.active, it.asked) == (False, 0, [])
    assert (await it.ask(QUESTION)).end["type"] == "complete"


async def test_an_answer_that_cannot_be_kept_is_told_as_an_error_with_its_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversations, "END_PAUSES", (0.0,))
    it, gate = service()
    run = await it.start(QUESTION)
    gate.failures = 2
    told = await it.told(run)
    assert (told.end["code"], told.end["retryable"], told.end["answer"]) == ("storage_unavailable", True, ANSWER)
    assert it.counted.outcomes == ["storage_unavailable"]
    again = await it.ask("And of Italy?")
    assert again.end["type"] == "complete"


async def test_the_next_question_waits_until_the_answer_before_it_is_kept() -> None:
    it, gate = service()
    first = await it.start(QUESTION)
    second = await it.start("And of Italy?")
    told = [await it.told(run) for run in (first, second)]
    assert [each.end["type"] for each in told] == ["complete", "complete"]
    session = await it.sessions.open(SESSION)
    assert session.history()[0] == Turn(QUESTION, ANSWER, "complete")
    assert it.asked == [QUESTION, "And of Italy?", f"{QUESTION} And of Italy?"]
    assert gate.failures == 0


@pytest.mark.parametrize(("grace", "outcome"), [(5.0, "complete"), (0.0, "shutting_down")])
async def test_draining_waits_for_a_question_that_is_being_kept_which_gets_its_time_too(
    grace: float, outcome: str
) -> None:
    it, gate = service()
    gate.close()
    starting = asyncio.create_task(it.start(QUESTION))
    await gate.reached.wait()
    draining = asyncio.create_task(it.runner.drain(grace))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not draining.done()
    gate.open.set()
    await draining
    assert starting.done()
    assert it.runner.active == 0
    run: RunHandle = await starting
    stored = await it.conversations.run(run.id)
    assert stored is not None
    assert stored.outcome == outcome
    end = (await it.told(run)).end
    assert end.get("code", end["type"]) == outcome


async def test_draining_does_not_wait_for_a_question_that_was_refused() -> None:
    it, gate = service()
    gate.close()
    starting = asyncio.create_task(it.start(QUESTION))
    await gate.reached.wait()
    draining = asyncio.create_task(it.runner.drain(60.0))
    gate.failures = 1
    gate.open.set()
    with pytest.raises(StorageUnavailable):
        await starting
    await asyncio.wait_for(draining, 30)


async def test_a_chat_that_is_deleted_under_a_run_ends_it_and_keeps_nothing() -> None:
    it, gate = service()
    run = await it.start(QUESTION)
    gate.close()
    await gate.reached.wait()
    async with it.database.write() as session:
        await session.execute(text("DELETE FROM chat"))
    it.runner.abandon(SESSION)
    gate.open.set()
    await it.told(run)
    assert await it.conversations.run(run.id) is None
    with pytest.raises(NotFound):
        await it.sessions.open(SESSION, must_exist=True)
