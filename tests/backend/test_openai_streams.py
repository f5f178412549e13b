"""Completions on their way: as they come, whole, broken off, and left."""

import asyncio
import json
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.responses import Response

from agents.runner import Runner
from backend.openai_answers import RunAnswer
from backend.openai_bare import BareAnswer
from backend.openai_streams import CompletionStream, WholeCompletion
from infrastructure.error_handlers import install_error_handlers
from infrastructure.errors import NotFound, ProviderProtocolError, ProviderRejected, ProviderUnavailable
from infrastructure.event_log.memory import MemoryEventLog
from infrastructure.providers.types import Message, ModelRequest, ToolCall
from tests.agents.fakes import Endless, ScriptedModel, Turn, calls, fails, says
from tests.backend.runs import WrittenRun
from tests.backend.serving import serving

REQUEST = ModelRequest((Message("user", "Hello?"),), "")
PATH = "/v1/x"


class Stops(Runner):
    """The one part of a runner that a completion uses besides the log."""

    def __init__(self, run: WrittenRun | None = None) -> None:
        self.stopped: asyncio.Queue[str] = asyncio.Queue()
        self._run = run

    async def cancel(self, run_id: str) -> None:
        self.stopped.put_nowait(run_id)
        if self._run is None:
            raise NotFound("No such run.")


def bare(*turns: Turn) -> BareAnswer:
    return BareAnswer("1", ScriptedModel(*turns), REQUEST, lambda usage: None)


def streamed(answer: Any, **more: Any) -> Response:
    options = {"with_usage": False, "silence": 30.0, "send_timeout": 30.0, "on_slow": lambda: None} | more
    return CompletionStream(answer, 7, "askgraph", **options)


def whole(answer: Any) -> Response:
    return WholeCompletion(answer, 7, "askgraph", send_timeout=30.0, on_slow=lambda: None)


def app_of(response: Response) -> FastAPI:
    app = FastAPI()
    install_error_handlers(app, lambda kind: None)

    @app.get(PATH, response_class=Response)
    async def read() -> Any:
        return response

    return app


def deltas(body: str) -> list[dict[str, Any]]:
    events = body.removesuffix("\n\n").split("\n\n")
    assert events[-1] == "data: [DONE]"
    return [json.loads(event.removeprefix("data: "))["choices"][0]["delta"] for event in events[:-1]]


async def test_each_read_of_a_model_is_told_at_once() -> None:
    gate = asyncio.Event()

    async def turn(request: ModelRequest, emit: Any) -> Any:
        emit("A ")
        await gate.wait()
        return await says("health factor.")(request, emit)

    async with serving(app_of(streamed(bare(turn)))) as client, client.stream("GET", PATH) as response:
        lines = response.aiter_lines()
        first = [await anext(lines) for _ in range(4)]
        assert json.loads(first[2].removeprefix("data: "))["choices"][0]["delta"] == {"content": "A "}
        gate.set()  # only now can the model go on
        body = "\n".join([*first, *[line async for line in lines], ""])
    assert deltas(body)[1:] == [{"content": "A "}, {"content": "health factor."}, {}]


async def test_the_head_waits_for_the_first_words() -> None:
    endless = Endless()
    async with serving(app_of(streamed(bare(endless)))) as client:
        asking = asyncio.create_task(client.get(PATH))
        await asyncio.wait_for(endless.streaming.wait(), 30)
        assert not asking.done()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def test_in_long_silence_there_is_a_sign_of_life_and_the_role_still_comes_first() -> None:
    go = asyncio.Event()

    async def turn(request: ModelRequest, emit: Any) -> Any:
        await go.wait()
        return await says("Hello.")(request, emit)

    response = streamed(bare(turn), silence=0.05)
    async with serving(app_of(response)) as client, client.stream("GET", PATH) as answer:
        pieces = answer.aiter_text()
        assert await anext(pieces) == ": alive\n\n"
        go.set()
        rest = "".join([piece async for piece in pieces]).replace(": alive\n\n", "")
    assert [sorted(delta) for delta in deltas(rest)] == [["content", "refusal", "role"], ["content"], []]


async def test_a_models_tool_calls_are_handed_back() -> None:
    wanted = ToolCall("call_1", "f", '{"a":"\ud83d"}')
    async with serving(app_of(streamed(bare(calls(wanted, saying="Wait. "))))) as client:
        body = (await client.get(PATH)).text
    (made,) = deltas(body)[2]["tool_calls"]
    assert made["function"] == {"name": "f", "arguments": '{"a":"\ufffd"}'}


async def test_what_fails_before_the_first_words_has_its_errors_status() -> None:
    for make in (streamed, whole):
        answer = bare(fails(ProviderUnavailable("The model is away.", retry_after=3)))
        async with serving(app_of(make(answer))) as client:
            response = await client.get(PATH)
        assert (response.status_code, response.headers["retry-after"]) == (503, "3")
        assert response.json()["error"]["code"] == "provider_unavailable"
        assert "x-should-retry" not in response.headers


async def test_what_is_of_no_use_to_ask_again_says_so() -> None:
    async with serving(app_of(whole(bare(fails(ProviderRejected("The model refused the request.")))))) as client:
        response = await client.get(PATH)
    assert (response.status_code, response.headers["x-should-retry"]) == (503, "false")


async def test_what_fails_later_ends_the_stream_with_an_error_event() -> None:
    answer = bare(fails(ProviderProtocolError("The model broke off."), "Half an "))
    async with serving(app_of(streamed(answer))) as client:
        response = await client.get(PATH)
    assert response.status_code == 200
    last = response.text.removesuffix("\n\n").split("\n\n")[-1]
    assert json.loads(last.removeprefix("data: "))["error"] == {
        "message": "The model broke off.", "type": "server_error", "param": None, "code": "provider_protocol_error",
    }  # fmt: skip


@pytest.mark.parametrize("make", [streamed, whole])
async def test_who_closes_the_connection_stops_the_model(make: Any) -> None:
    closed = asyncio.Event()

    async def closing() -> None:
        closed.set()

    endless = Endless("Half an ", closing=closing)
    async with serving(app_of(make(bare(endless)))) as client:
        asking = asyncio.create_task(client.get(PATH))
        await asyncio.wait_for(endless.streaming.wait(), 30)
        asking.cancel()
        await asyncio.wait_for(closed.wait(), 30)
        await asyncio.gather(asking, return_exceptions=True)


async def test_a_run_is_read_like_any_other_and_left_at_its_end() -> None:
    log = MemoryEventLog()
    run = WrittenRun(log)
    run.say("A ", "health factor.")
    run.complete()
    runner = Stops()  # where it is not known any more, nothing is amiss
    async with serving(app_of(streamed(RunAnswer(runner, log, run.id)))) as client:
        response = await client.get(PATH)
    assert "".join(delta.get("content", "") for delta in deltas(response.text)) == "A health factor."
    assert response.headers["x-run-id"] == run.id
    assert runner.stopped.get_nowait() == run.id


async def test_a_run_that_fails_has_its_errors_status() -> None:
    log = MemoryEventLog()
    run = WrittenRun(log)
    run.fail()
    async with serving(app_of(whole(RunAnswer(Stops(run), log, run.id)))) as client:
        response = await client.get(PATH)
    assert (response.status_code, response.json()["error"]["code"]) == (502, "provider_protocol_error")


async def test_a_run_that_was_stopped_elsewhere_is_cut_short() -> None:
    log = MemoryEventLog()
    run = WrittenRun(log)
    run.say("Half an ")
    run.cancel()
    async with serving(app_of(whole(RunAnswer(Stops(run), log, run.id)))) as client:
        (choice,) = (await client.get(PATH)).json()["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Half an ", "length")


async def run_cut_at(stop: str, end: str = "complete") -> tuple[str, dict[str, Any]]:
    """What is said of a run whose client has a stop sequence, and its last choice."""
    log = MemoryEventLog()
    run = WrittenRun(log)
    run.say("A health ", "factor [1] is a number. ", "Below one [2] it is bad.")
    getattr(run, end)()
    async with serving(app_of(streamed(RunAnswer(Stops(run), log, run.id, (stop,))))) as client:
        events = (await client.get(PATH)).text.removesuffix("\n\n").split("\n\n")
    assert events[-1] == "data: [DONE]"
    choices = [json.loads(event.removeprefix("data: "))["choices"][0] for event in events[:-1]]
    return "".join(choice["delta"].get("content", "") for choice in choices), choices[-1]


async def test_a_run_that_says_a_stop_sequence_ends_before_it_also_where_it_came_in_two() -> None:
    said, last = await run_cut_at("health factor")
    assert (said, last["finish_reason"]) == ("A ", "stop")


async def test_a_run_that_never_says_it_is_told_to_its_end() -> None:
    said, last = await run_cut_at("bad..")
    assert (said, last["finish_reason"]) == ("A health factor [1] is a number. Below one [2] it is bad.", "stop")


async def test_what_goes_wrong_behind_the_stop_sequence_is_nobodys_concern() -> None:
    for end in ("fail", "cancel"):
        said, last = await run_cut_at(". Below", end)
        assert (said, last["finish_reason"]) == ("A health factor [1] is a number", "stop")
