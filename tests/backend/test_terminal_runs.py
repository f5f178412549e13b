"""A run that is read over as many connections as it takes. The far end is a WebSocket server that plays a part."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from backend.terminal.address import parse_address
from backend.terminal.answering import LEFT, Answering
from backend.terminal.failures import Failure, Refused, SignInNeeded, Unreachable
from backend.terminal.fields import Fields
from backend.terminal.question import Question
from backend.terminal.run_reader import RunReader
from backend.terminal.service import Service
from tests.backend.terminal_stage import Far, Stage, asked, complete, cut, on_stage, says, word


async def read(stage: Stage, question: Question, patience: float = 20) -> tuple[list[dict[str, Any]], list[str]]:
    told: list[str] = []
    reader = RunReader(stage.service, question, told.append, patience)
    async with asyncio.timeout(20), aclosing(reader.frames()) as frames:
        return [frame async for frame in frames], told


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 4408])
async def test_a_closed_connection_is_made_again_and_nothing_comes_twice(code: int) -> None:
    async with on_stage(says(word(1), word(2), close=code), says(word(2), word(3), complete(4, "w1 w2 w3 "))) as stage:
        frames, told = await read(stage, asked())
    assert [frame["seq"] for frame in frames] == [1, 2, 3, 4]
    assert stage.heard[0]["type"] == "question"
    assert stage.heard[1] == {"type": "attach", "run_id": "r", "after": 2}
    assert told == ["connection lost, coming back …"]


async def test_until_the_run_is_known_the_same_question_is_sent_again() -> None:
    async with on_stage(cut, cut, says(word(1), complete(2))) as stage:
        frames, _ = await read(stage, asked())
    assert [frame["seq"] for frame in frames] == [1, 2]
    assert stage.heard[0] == stage.heard[1] == stage.heard[2]
    assert len(stage.heard[0]["request_id"]) == 32


async def test_a_run_that_is_forgotten_is_asked_for_anew_by_its_request_id() -> None:
    not_found = {"type": "error", "code": "not_found", "message": "There is no such run."}
    again = says(word(1, "other"), word(2, "other"), complete(3, "", "other"))
    async with on_stage(says(word(1), close=1012), says(not_found), again) as stage:
        frames, _ = await read(stage, asked())
    assert [frame["type"] for frame in stage.heard] == ["question", "attach", "question"]
    assert stage.heard[0] == stage.heard[2]
    assert [(frame["run_id"], frame["seq"], frame["anew"]) for frame in frames] == [
        ("r", 1, False), ("other", 1, True), ("other", 2, False), ("other", 3, False),
    ]  # fmt: skip


async def test_a_resent_question_that_joins_its_run_gives_only_what_is_new() -> None:
    not_found = {"type": "error", "code": "not_found", "message": "There is no such run."}
    async with on_stage(says(word(1), close=1012), says(not_found), says(word(1), word(2), complete(3))) as stage:
        frames, _ = await read(stage, asked())
    assert [frame["seq"] for frame in frames] == [1, 2, 3]


async def test_where_only_the_end_was_kept_the_text_comes_with_it() -> None:
    ready = {"type": "status", "status": "ready", "run_id": "r"}
    gap = {"type": "gap", "run_id": "r", "from": 1, "to": 1}
    snapshot = {"type": "snapshot", "run_id": "r", "answer": "w1 w2 w3", "seq": 1}
    async with on_stage(
        says(word(1), word(2), close=1012), says(ready), says(gap, snapshot, complete(2, "w1 w2 w3"))
    ) as stage:
        frames, _ = await read(stage, asked())
    assert stage.heard[2] == {"type": "attach", "run_id": "r", "after": 0}
    assert [frame["type"] for frame in frames] == ["word", "word", "snapshot", "complete"]


async def test_a_question_that_is_refused_says_why() -> None:
    refused = {"type": "error", "code": "rate_limited", "message": "Too many."}
    async with on_stage(says(refused)) as stage:
        with pytest.raises(Refused, match=r"Too many\.") as error:
            await read(stage, asked())
    assert error.value.kind == "rate_limited"


async def test_a_run_that_cannot_be_read_now_is_asked_for_again_and_one_that_never_can_is_not() -> None:
    question = asked()
    later = {"type": "error", "code": "storage_unavailable", "message": "Not now.", "retryable": True}
    never = {"type": "error", "code": "conflict", "message": "It is elsewhere.", "retryable": False}
    async with on_stage(says(word(1), close=1012), says(later), says(never)) as stage:
        with pytest.raises(Refused, match="elsewhere"):
            await read(stage, question)
    assert [frame["type"] for frame in stage.heard] == ["question", "attach", "attach"]


async def test_a_service_that_keeps_forgetting_is_given_up() -> None:
    not_found = {"type": "error", "code": "not_found", "message": "There is no such run."}
    ready = {"type": "status", "status": "ready", "run_id": "r"}
    for answer in (not_found, ready):
        async with on_stage(says(word(1), close=1012), says(answer), says(answer)) as stage:
            with pytest.raises(Refused, match="kept nothing"):
                await read(stage, asked())


async def test_a_flood_is_not_tried_again() -> None:
    async def flood(far: Far) -> None:
        await far.connection.close(1008, "too many connections")

    async with on_stage(flood) as stage:
        with pytest.raises(Refused, match="too many connections"):
            await read(stage, asked())


async def test_who_must_sign_in_goes_on_with_the_same_run_after_that() -> None:
    question = asked()
    wanted = {"type": "error", "code": "unauthorized", "message": "Sign in first."}
    async with on_stage(says(wanted), says(word(1), close=4401), says(word(2), complete(3))) as stage:
        for _ in range(2):
            with pytest.raises(SignInNeeded):
                await read(stage, question)
        frames, _ = await read(stage, question)
    assert [frame["seq"] for frame in frames] == [2, 3]


async def test_a_key_is_shown_in_the_handshake_and_not_in_the_url() -> None:
    async with on_stage(says(complete(1)), key="ask_key") as stage:
        await read(stage, asked())
    assert stage.headers == ["Bearer ask_key"]


async def test_a_service_that_stays_away_is_given_up() -> None:
    async with on_stage(says(word(1), close=1012)) as stage:
        question = asked()
        await_closed = RunReader(stage.service, question, lambda _: None, 0.5)
        async with aclosing(await_closed.frames()) as frames:
            assert (await anext(frames))["seq"] == 1
        stage.parts = [cut] * 50
        with pytest.raises(Unreachable):
            await read(stage, question, patience=0.5)


async def test_what_is_no_frame_is_passed_over() -> None:
    async def nonsense(far: Far) -> None:
        for text in ("", "{", "[]", "7", '"x"', '{"type": 7}', '{"seq": "x"}', '{"type": "error", "seq": {}}'):
            await far.connection.send(text)
        await far.connection.send(b"\x00\xff")
        await far.say({"type": "heartbeat"}, word(1), word(5, "other"), complete(2))
        await far.connection.wait_closed()

    async with on_stage(nonsense) as stage:
        frames, _ = await read(stage, asked())
    assert [frame["seq"] for frame in frames] == [1, 2]


class Told:
    """A view that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.something = asyncio.Event()

    def _keep(self, what: str) -> None:
        self.said.append(what)
        self.something.set()

    def text(self, piece: str) -> None:
        self._keep(piece)

    def step(self, frame: Fields) -> None:
        self._keep(f"step {frame['state']}")

    def anew(self) -> None:
        self._keep("anew")

    def aside(self, note: str) -> None:
        self._keep(note)

    def finish(self) -> None:
        self._keep("|")

    def sources(self, frame: Fields, citations: list[dict[str, Any]]) -> None:
        self._keep(f"{len(citations)} sources")

    def problem(self, message: str) -> None:
        self._keep(f"problem: {message}")


async def yes(_: Fields) -> bool:
    return True


async def answered(stage: Stage, ask: Callable[[Fields], Awaitable[bool]] = yes) -> tuple[list[str], Answering]:
    view = Told()
    answering = Answering(stage.service, asked(), view, ask, patience=5)
    async with asyncio.timeout(20):
        await answering.read()
    return view.said, answering


async def test_an_answer_is_told_to_its_end() -> None:
    async with on_stage(says(word(1), {**complete(2, "w1 and more"), "citations": [{"id": 1}, 7]})) as stage:
        said, answering = await answered(stage)
    assert said == ["w1 ", "and more", "|", "1 sources", "|"]
    assert answering.ended_well
    assert answering.citations == [{"id": 1}]


async def test_a_run_that_began_anew_drops_what_there_was() -> None:
    restarted = {"type": "status", "status": "restarted", "run_id": "r", "seq": 2}
    async with on_stage(says(word(1), restarted, word(3), complete(4, "w3 "))) as stage:
        said, _ = await answered(stage)
    assert said == ["w1 ", "anew", "w3 ", "|", "0 sources", "|"]


async def test_an_error_ends_it_with_its_message() -> None:
    failure = {"type": "error", "message": "It broke.", "code": "x", "run_id": "r", "seq": 2, "answer": "w1 x"}
    async with on_stage(says(word(1), failure)) as stage:
        said, answering = await answered(stage)
    assert said == ["w1 ", "x", "|", "problem: It broke.", "|"]
    assert not answering.ended_well


async def test_a_call_that_waits_is_answered_over_whichever_connection_there_is() -> None:
    wants = {"type": "step", "name": "notes", "state": "approval_required", "call_id": "c", "run_id": "r", "seq": 1}
    asking, again = asyncio.Event(), asyncio.Event()

    async def then_cut(far: Far) -> None:
        await far.say(wants)
        await asking.wait()
        far.connection.transport.abort()

    async def go_on(far: Far) -> None:
        again.set()
        heard = await far.hear()
        assert heard == {"type": "approve", "call_id": "c", "approved": True, "run_id": "r"}
        await far.say({**wants, "state": "finished", "seq": 2}, complete(3))
        await far.connection.wait_closed()

    async def ask(_: Fields) -> bool:
        asking.set()
        await again.wait()
        return True

    async with on_stage(then_cut, go_on) as stage:
        said, _ = await answered(stage, ask)
    assert "step finished" in said


async def test_a_call_that_was_answered_elsewhere_is_asked_for_no_more() -> None:
    wants = {"type": "step", "name": "notes", "state": "approval_required", "call_id": "c", "run_id": "r", "seq": 1}
    asking = asyncio.Event()
    cancelled: list[bool] = []

    async def part(far: Far) -> None:
        await far.say(wants)
        await asking.wait()
        await far.say({**wants, "state": "finished", "seq": 2}, complete(3))
        await far.connection.wait_closed()

    async def ask(_: Fields) -> bool:
        asking.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return True

    async with on_stage(part) as stage:
        await answered(stage, ask)
    assert cancelled == [True]


async def interrupted(answering: Answering, view: Told) -> None:
    await view.something.wait()
    answering.interrupt()


async def test_an_interrupt_asks_for_a_stop_and_waits_for_it() -> None:
    async def part(far: Far) -> None:
        await far.say(word(1))
        assert await far.hear() == {"type": "cancel", "run_id": "r"}
        await far.say(word(2), {"type": "status", "status": "cancelled", "run_id": "r", "seq": 3})
        await far.connection.wait_closed()

    view = Told()
    async with on_stage(part) as stage, asyncio.timeout(20):
        answering = Answering(stage.service, asked(), view, yes)
        await asyncio.gather(answering.read(), interrupted(answering, view))
    assert view.said == ["w1 ", "w2 ", "|", "stopped", "|"]


async def test_an_interrupt_before_the_run_is_known_stops_it_when_it_is() -> None:
    begun = asyncio.Event()

    async def part(far: Far) -> None:
        begun.set()
        answering.interrupt()
        await asyncio.sleep(0)
        await far.say(word(1))
        assert (await far.hear())["type"] == "cancel"
        await far.say({"type": "status", "status": "cancelled", "run_id": "r", "seq": 2})
        await far.connection.wait_closed()

    view = Told()
    async with on_stage(part) as stage, asyncio.timeout(20):
        answering = Answering(stage.service, asked(), view, yes)
        await answering.read()
    assert "stopped" in view.said


async def test_a_second_interrupt_leaves_at_once() -> None:
    view = Told()
    async with on_stage(says(word(1))) as stage, asyncio.timeout(30):
        answering = Answering(stage.service, asked(), view, yes)

        async def twice() -> None:
            await interrupted(answering, view)
            answering.interrupt()

        await asyncio.gather(answering.read(), twice())
    assert view.said == ["w1 ", "|", LEFT]


async def test_an_interrupt_without_a_connection_leaves() -> None:
    view = Told()
    async with on_stage(cut) as stage, asyncio.timeout(10):
        answering = Answering(stage.service, asked(), view, yes)
        await asyncio.gather(answering.read(), interrupted(answering, view))
    assert view.said == ["connection lost, coming back …", "|", LEFT]


async def test_where_nothing_answers_at_all_that_is_told_at_once() -> None:
    async with Service(parse_address("http://127.0.0.1:1")) as nowhere:
        with pytest.raises(Unreachable, match=r"^http://127\.0\.0\.1:1 does not answer\.$"):
            await Answering(nowhere, asked(), Told(), yes).read()


async def test_failures_are_told_in_a_line() -> None:
    assert Failure("x").message == "x"
    assert "\n" not in SignInNeeded().message
