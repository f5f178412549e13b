"""Runs begin, stop, wait, join and end: each with exactly one terminal frame (`Service.told` checks that)."""

import asyncio
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from agents.runner import Ask, RunHandle
from agents.tools.search_knowledge_base import search_knowledge_base
from infrastructure.errors import Conflict, NotFound, RateLimited, ShuttingDown
from infrastructure.providers.types import Emit, ModelReply, ModelRequest
from services.knowledge.scope import Scope
from services.sessions import MAX_WAITING, Turn
from tests.agents.fakes import (
    OTHER_SESSION,
    SESSION,
    Away,
    Endless,
    ScriptedModel,
    Service,
    call,
    calls,
    fails,
    found,
    passage,
    says,
)

PARIS = found(passage())


def service(*turns: Any, **options: Any) -> Service:
    return Service(ScriptedModel(*turns), PARIS, **options)


class Gate:
    """A turn that waits until it is let through."""

    def __init__(self) -> None:
        self.running = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, request: ModelRequest, emit: Emit) -> ModelReply:
        self.running.set()
        await self.open.wait()
        return await says("Done.")(request, emit)


async def test_a_run_that_is_stopped_says_so_only_after_its_upstream_is_closed() -> None:
    closing, may_close = asyncio.Event(), asyncio.Event()

    async def close() -> None:
        closing.set()
        await may_close.wait()

    model = Endless("Paris is the capi", closing=close)
    it = service(model)
    run = await it.start()
    await model.streaming.wait()
    stopping = asyncio.create_task(it.runner.cancel(run.id))
    await closing.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not stopping.done()
    assert not model.closed
    may_close.set()
    await stopping
    assert model.closed
    told = await it.told(run)
    assert told.end["status"] == "cancelled"
    assert told.text == "Paris is the capi"
    assert (await it.sessions.open(SESSION)).history() == (
        Turn("What is the capital of France?", "Paris is the capi", "incomplete"),
    )
    assert it.counted.outcomes == ["cancelled"]
    assert len(it.counted.stops) == 1
    assert it.runner.active == 0


async def test_whoever_stops_twice_waits_for_the_same_end() -> None:
    model = Endless("Text ")
    it = service(model)
    run = await it.start()
    await model.streaming.wait()
    await asyncio.gather(*[it.runner.cancel(run.id) for _ in range(3)])
    assert (await it.told(run)).end["status"] == "cancelled"
    await it.runner.cancel(run.id)


async def test_a_run_that_is_stopped_before_its_first_step_ends_all_the_same() -> None:
    it = service(says("Never said."))
    run = await it.start()
    await it.runner.cancel(run.id)
    told = await it.told(run)
    assert told.statuses == ["streaming", "cancelled"]
    assert it.asked == []
    assert it.runner.active == 0
    assert not (await it.sessions.open(SESSION)).busy


async def test_a_run_that_is_stopped_while_it_searches_ends_all_the_same() -> None:
    it = service(says("Never said."))
    it.searching_waits = asyncio.Event()
    run = await it.start()
    await it.searching.wait()
    await it.runner.cancel(run.id)
    assert (await it.told(run)).statuses == ["streaming", "cancelled"]


async def test_a_run_that_is_stopped_in_line_ends_without_having_run() -> None:
    first = Endless("One ")
    it = service(first, says("Two."))
    running = await it.start("First question?")
    await first.streaming.wait()
    waiting = await it.start("Second question?")
    await asyncio.sleep(0)
    await it.runner.cancel(waiting.id)
    told = await it.told(waiting)
    assert told.statuses == ["queued", "cancelled"]
    assert not first.closed
    await it.runner.cancel(running.id)
    assert it.asked == ["First question?"]


async def test_an_ended_run_stays_as_it_is_when_it_is_stopped() -> None:
    it = service(says("Paris."))
    run = await it.start()
    before = await it.told(run)
    await it.runner.cancel(run.id)
    assert await it.told(run) == before
    assert it.counted.stops == []


async def test_an_unknown_run_cannot_be_stopped() -> None:
    with pytest.raises(NotFound):
        await service(says("x")).runner.cancel("nobody's")


async def test_after_a_stop_the_next_question_knows_what_was_said() -> None:
    stopped = Endless("Paris is ")
    model = ScriptedModel(stopped, says("As I said."))
    it = Service(model, PARIS)
    run = await it.start("First question?")
    await stopped.streaming.wait()
    await it.runner.cancel(run.id)
    assert (await it.ask("Second question?")).end["answer"] == "As I said."
    assert [message.content for message in model.requests[-1].messages[1:-1]] == ["First question?", "Paris is "]


async def test_history_is_passed_on_and_its_oldest_turns_leave() -> None:
    model = ScriptedModel(says("x" * 200), says("Two."), says("Three."))
    it = Service(model, PARIS, history_tokens=40)
    for question in ("First question?", "Second question?", "Third question?"):
        await it.ask(question)
    assert [message.content for message in model.requests[1].messages[1:-1]] == []
    assert [message.content for message in model.requests[2].messages[1:-1]] == ["Second question?", "Two."]


async def test_sessions_know_nothing_of_each_other() -> None:
    model = ScriptedModel(says("Mine."), says("Yours."))
    it = Service(model, PARIS)
    await it.ask("My question?", session=OTHER_SESSION)
    await it.ask("Your question?", session=SESSION)
    assert len(model.requests[1].messages) == 2


async def test_a_question_without_a_session_keeps_nothing() -> None:
    it = service(says("Paris."))
    told = await it.ask(session=None)
    assert told.end["session_id"] is None
    assert "session_id" not in told.frames[0]
    assert len(it.sessions) == 0


async def test_a_session_is_made_for_whoever_wants_one_and_has_none() -> None:
    it = service(says("Paris."))
    run = await it.runner.start(Ask("Question?", "caller", None, keep=True))
    assert run.session_id is not None
    assert (await it.told(run)).end["session_id"] == run.session_id
    assert len(it.sessions) == 1


async def test_questions_of_one_session_wait_in_line_and_are_answered_in_order() -> None:
    gate = Gate()
    it = service(gate, says("Two."), says("Three."))
    runs = [await it.start(f"Question {number}?") for number in (1, 2, 3)]
    await gate.running.wait()
    assert it.runner.active == 3
    assert it.asked == ["Question 1?"]
    gate.open.set()
    told = [await it.told(run) for run in runs]
    assert [one.end["answer"] for one in told] == ["Done.", "Two.", "Three."]
    assert [one.statuses for one in told] == [["streaming"], ["queued", "streaming"], ["queued", "streaming"]]
    alone = [question for question in it.asked if question.count("Question") == 1]
    assert alone == ["Question 1?", "Question 2?", "Question 3?"]


async def test_other_sessions_do_not_wait() -> None:
    gate = Gate()
    it = service(gate, says("Two."))
    slow = await it.start(session=OTHER_SESSION)
    await gate.running.wait()
    assert (await it.ask(session=SESSION)).end["answer"] == "Two."
    gate.open.set()
    assert (await it.told(slow)).end["answer"] == "Done."


async def test_only_so_many_wait_in_line() -> None:
    gate = Gate()
    it = service(gate)
    runs = [await it.start() for _ in range(MAX_WAITING + 1)]
    with pytest.raises(RateLimited):
        await it.start()
    gate.open.set()
    for run in runs:
        await it.told(run)


async def test_a_busy_session_can_refuse() -> None:
    gate = Gate()
    it = service(gate, concurrency="reject")
    run = await it.start()
    with pytest.raises(Conflict):
        await it.start()
    gate.open.set()
    await it.told(run)
    assert (await it.ask()).end["answer"] == "Done."


async def test_a_new_question_can_interrupt_the_one_before() -> None:
    stopped = Endless("One ")
    it = service(stopped, says("Two."), concurrency="interrupt")
    first = await it.start()
    await stopped.streaming.wait()
    second = await it.ask()
    assert stopped.closed
    assert (await it.told(first)).end["status"] == "cancelled"
    assert second.statuses == ["queued", "streaming"]
    assert second.end["answer"] == "Two."


async def test_of_many_questions_at_once_the_last_one_is_answered_when_they_interrupt() -> None:
    gate = Gate()
    it = service(gate, concurrency="interrupt")
    runs = [await it.start() for _ in range(5)]
    gate.open.set()
    ends = [(await it.told(run)).end for run in runs]
    assert [end.get("status", end["type"]) for end in ends] == ["cancelled"] * 4 + ["complete"]


async def test_no_more_runs_are_begun_than_allowed() -> None:
    gate = Gate()
    it = service(gate, active=2)
    runs = [await it.start(session=session) for session in (SESSION, OTHER_SESSION)]
    with pytest.raises(RateLimited) as refused:
        await it.start(session=None)
    assert refused.value.retry_after == 1.0
    gate.open.set()
    for run in runs:
        await it.told(run)


def again(request_id: str = "r1", question: str = "Question?", **fields: Any) -> Ask:
    return Ask(question, "caller", **({"session_id": SESSION, "keep": True} | fields), request_id=request_id)


async def test_a_resend_joins_the_run_that_is_under_way_or_over() -> None:
    gate = Gate()
    it = service(gate)
    first = await it.runner.start(again())
    assert await it.runner.start(again()) == RunHandle(first.id, SESSION, True, first.user_message_id, first.answer_id)
    gate.open.set()
    await it.told(first)
    assert await it.runner.start(again()) == RunHandle(first.id, SESSION, True, first.user_message_id, first.answer_id)
    assert it.asked == ["Question?"]
    assert (await it.runner.start(again("r2"))).joined is False


async def test_a_resend_without_a_session_joins_by_its_caller() -> None:
    it = service(says("Paris."))
    first = await it.runner.start(again(session_id=None))
    joined = await it.runner.start(again(session_id=None))
    assert (joined.id, joined.session_id, joined.joined) == (first.id, first.session_id, True)
    other = await it.runner.start(Ask("Question?", "another", None, True, "r1"))
    assert not other.joined


async def test_a_request_id_names_one_question() -> None:
    it = service(says("Paris."))
    await it.runner.start(again())
    with pytest.raises(Conflict):
        await it.runner.start(again(question="Another?"))


async def test_draining_lets_runs_end_and_takes_no_more() -> None:
    gate = Gate()
    it = service(gate)
    first = await it.runner.start(again())
    await gate.running.wait()
    draining = asyncio.create_task(it.runner.drain(30))
    await asyncio.sleep(0)
    assert it.runner.draining
    with pytest.raises(ShuttingDown):
        await it.start()
    assert (await it.runner.start(again())).joined, "a resend may still read its run"
    gate.open.set()
    await draining
    assert (await it.told(first)).end["type"] == "complete"


async def test_what_does_not_end_in_its_grace_is_ended_with_what_was_said() -> None:
    model = Endless("Paris is ")
    it = service(model)
    running, waiting = await it.start(), await it.start()
    await model.streaming.wait()
    await it.runner.drain(0.01)
    assert model.closed
    told = await it.told(running)
    assert (told.end["code"], told.end["retryable"], told.end["answer"]) == ("shutting_down", True, "Paris is ")
    assert (await it.told(waiting)).end["code"] == "shutting_down"
    assert it.runner.active == 0


async def test_draining_with_nothing_to_do_is_done() -> None:
    await service(says("x")).runner.drain(30)


async def test_what_nobody_expected_becomes_an_internal_error_without_its_inside() -> None:
    it = service(fails(RuntimeError("secret inside"), "Paris "))
    with capture_logs() as lines:
        told = await it.ask()
    assert (told.end["code"], told.end["retryable"], told.end["answer"]) == ("internal_error", False, "Paris ")
    assert [(line["event"], line["error"]) for line in lines if line["log_level"] == "error"] == [
        ("run failed", "RuntimeError")
    ]
    assert "secret" not in json.dumps(told.frames)
    assert it.counted.outcomes == ["internal_error"]


async def test_an_error_of_the_service_keeps_its_kind() -> None:
    it = Service(ScriptedModel(says("x")), Away("The search is away."))
    told = await it.ask()
    assert (told.end["code"], told.end["error"]) == ("away", "The search is away.")


async def test_a_document_name_that_cannot_be_said_ends_in_an_error_and_not_in_silence() -> None:
    it = Service(ScriptedModel(says("x")), found(passage(document="\udcff.md")))
    with capture_logs():
        assert (await it.ask()).end["code"] == "internal_error"


async def test_a_task_cancelled_from_outside_ends_its_run_too() -> None:
    model = Endless("Paris ")
    it = service(model)
    run = await it.start()
    await model.streaming.wait()
    [task] = [task for task in asyncio.all_tasks() if task.get_name() == f"run {run.id}"]
    task.cancel()
    assert (await it.told(run)).end["status"] == "cancelled"
    assert it.counted.stops == []


async def test_a_run_that_is_stopped_while_a_tool_works_leaves_no_open_call_behind() -> None:
    working, stopped = asyncio.Event(), asyncio.Event()

    async def works(query: str, limit: int, scope: Scope) -> Any:
        working.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    wanted = calls(call("search_knowledge_base", query="x"), saying="Let me look. ")
    model = ScriptedModel(wanted, says("Two."))
    it = Service(model, PARIS, tools=[search_knowledge_base(works, 3)])
    run = await it.start("First question?")
    await working.wait()
    await it.runner.cancel(run.id)
    assert stopped.is_set()
    assert (await it.told(run)).end["status"] == "cancelled"
    assert (await it.ask("Second question?")).end["answer"] == "Two."
    assert [message.role for message in model.requests[-1].messages] == ["system", "user", "assistant", "user"]
    assert not any(message.tool_calls for message in model.requests[-1].messages)
