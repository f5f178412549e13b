"""A model that misbehaves: every run ends, once, in time, with what was said kept and nothing told that is nobody's.

`faults.py` has the table. Each fault meets two services: one in which the knowledge stands in for the model, and one
in which nothing does.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.conftest import API_KEY, scripted_model
from tests.e2e.faults import (
    BEFORE_THE_FIRST_WORD,
    HARMLESS,
    IN_MID_ANSWER,
    PARTIAL,
    PROTOCOL,
    QUESTION,
    UNAVAILABLE,
    WHOLE,
    date,
)
from tests.e2e.stored import House, opened
from tests.model_server import ModelServer
from tests.model_wire import STREAM_HEAD, Exchange

pytestmark = pytest.mark.asyncio(loop_scope="module")
RUN_SECONDS = 3.0
SETTINGS = {
    "PROVIDER_MAX_RETRIES": 1,
    "PROVIDER_MAX_CONCURRENT": 1,  # a fault that kept its place in the line would end all that follows
    "CIRCUIT_OPEN_SECONDS": 0.001,  # so much goes wrong here that nothing would be asked any more
    "PROVIDER_IDLE_TIMEOUT_SECONDS": 0.4,
    "PROVIDER_FIRST_BYTE_TIMEOUT_SECONDS": 0.4,
    "RUN_MAX_SECONDS": RUN_SECONDS,
    "MAX_TOOL_ITERATIONS": 3,
    "LOG_LEVEL": "DEBUG",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def far_end() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(far_end: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with opened(tmp_path_factory.mktemp("with"), scripted_model(far_end) | SETTINGS) as house:
        yield house


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alone(far_end: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Nothing stands in for the model."""
    settings = scripted_model(far_end) | SETTINGS | {"MODEL_FALLBACKS": "none"}
    async with opened(tmp_path_factory.mktemp("without"), settings) as house:
        yield house


@pytest_asyncio.fixture(loop_scope="module")
async def model(far_end: ModelServer) -> AsyncIterator[ModelServer]:
    """The model, with nothing left of the test before; afterwards it listens again."""
    far_end.clear()
    far_end.requests.clear()
    yield far_end
    if not far_end.listens:
        await far_end.listen_again()


@pytest.mark.parametrize("name", BEFORE_THE_FIRST_WORD)
async def test_what_fails_before_its_first_word_is_stood_in_for(name: str, house: House, model: ModelServer) -> None:
    fault = BEFORE_THE_FIRST_WORD[name]
    fault.script(model)
    told = await house.ask(QUESTION)
    assert (told.end["type"], told.end["model"], told.end["finish_reason"]) == ("complete", "extractive", "stop")
    assert told.models == ["scripted", "extractive"]
    assert told.end["answer"] == told.text != ""
    assert len(model.requests) == fault.tries
    assert [message["role"] for message in told.messages] == ["user", "assistant"]
    assert told.kept == ("complete", told.text, "extractive")
    assert (told.run["outcome"], told.run["model"], told.run["error_message"]) == ("complete", "extractive", None)


@pytest.mark.parametrize("name", BEFORE_THE_FIRST_WORD)
async def test_where_nothing_stands_in_the_failure_is_the_answer(name: str, alone: House, model: ModelServer) -> None:
    fault = BEFORE_THE_FIRST_WORD[name]
    fault.script(model)
    told = await alone.ask(QUESTION)
    end = told.end
    assert (end["type"], end["code"], end["retryable"]) == ("error", fault.code, fault.retryable)
    assert end["message"] == end["error"]
    assert end.get("retry_after") == fault.retry_after
    assert "answer" not in end
    assert told.text == ""
    assert told.models == ["scripted"]
    assert len(model.requests) == fault.tries
    assert told.kept == ("error", "", None)
    assert (told.run["outcome"], told.run["error_message"]) == (fault.code, end["message"])
    answer = await alone.client.post("/ask", json={"question": QUESTION})
    said = answer.json()
    assert (answer.status_code, said["type"], said["code"]) == (fault.status, fault.code, fault.status)
    assert said["detail"] == end["message"]
    waits = None if fault.retry_after is None else str(max(1, round(fault.retry_after)))
    assert answer.headers.get("Retry-After") == waits
    await answers_again(alone, model)


async def answers_again(house: House, model: ModelServer) -> None:
    """What went wrong leaves nothing behind: no place in the line is lost."""
    if not model.listens:
        await model.listen_again()
    model.clear()
    model.reply("And so on.")
    told = await house.ask(QUESTION)
    assert (told.end["type"], told.text) == ("complete", "And so on.")


@pytest.mark.parametrize("name", IN_MID_ANSWER)
async def test_a_stream_that_breaks_ends_the_run_and_keeps_its_text(
    name: str, house: House, model: ModelServer
) -> None:
    fault = IN_MID_ANSWER[name]
    fault.script(model)
    model.reply("And so on.")
    async with house.service.socket() as socket:
        session = (await socket.hello())["session_id"]
        told = await house.ask_over(socket, QUESTION, session)
        end = told.end
        assert (end["type"], end["code"], end["retryable"]) == ("error", fault.code, fault.retryable)
        assert end["answer"] == told.text == PARTIAL
        assert told.models == ["scripted"]
        assert len(model.requests) == 1  # once text has come there is no second try, and nothing stands in
        assert told.kept == ("error", PARTIAL, None)
        assert (told.run["outcome"], told.run["error_message"]) == (fault.code, end["message"])
        again = await house.ask_over(socket, QUESTION, session)
    assert again.text == "And so on."
    assert [message["status"] for message in again.messages] == ["complete", "error", "complete", "complete"]
    said = [message["content"] for message in model.requests[1].body["messages"]]
    assert said[1:3] == [QUESTION, PARTIAL]


async def test_over_http_a_broken_answer_is_an_error_and_its_text_is_in_the_chat(
    house: House, model: ModelServer
) -> None:
    IN_MID_ANSWER["half a stream"].script(model)
    whole = await house.client.post("/v2/ask", json={"question": QUESTION})
    assert (whole.status_code, whole.json()["type"]) == (502, PROTOCOL)
    chat = (await house.client.post("/api/v1/chats", json={})).json()["id"]
    kept = await house.client.post(f"/api/v1/chats/{chat}/messages", json={"content": QUESTION})
    assert kept.status_code == 201
    answer = kept.json()["assistant_message"]
    assert (answer["status"], answer["content"]) == ("error", PARTIAL)


@pytest.mark.parametrize("name", HARMLESS)
async def test_an_answer_that_lacks_a_form_is_an_answer(name: str, house: House, model: ModelServer) -> None:
    HARMLESS[name](model)
    told = await house.ask(QUESTION)
    assert (told.end["type"], told.end["model"], told.end["answer"]) == ("complete", "scripted", WHOLE)
    assert told.text == WHOLE
    assert told.kept == ("complete", WHOLE, "scripted")
    assert (told.run["outcome"], told.run["model"]) == ("complete", "scripted")
    assert len(model.requests) == 1


@pytest.mark.parametrize("date_form", [False, True])
async def test_a_model_that_recovers_is_asked_again_when_it_said(
    date_form: bool, house: House, model: ModelServer
) -> None:
    # A date has whole seconds: two from now is more than one away, and less than two.
    model.status(429, {"Retry-After": date(2.0) if date_form else "1"})
    model.reply("Now it works.")
    told = await house.ask(QUESTION)
    assert told.text == "Now it works."
    assert told.kept == ("complete", "Now it works.", "scripted")
    first, second = model.requests
    assert 0.9 <= second.at - first.at <= 3.0


async def test_a_pause_for_which_the_run_has_no_time_is_not_begun(alone: House, model: ModelServer) -> None:
    model.status(429, {"Retry-After": "9"})  # less than is ever waited, more than the run has
    began = time.monotonic()
    end = (await alone.ask(QUESTION)).end
    assert (end["code"], end["retry_after"]) == (UNAVAILABLE, 9.0)
    assert time.monotonic() - began < 2
    assert len(model.requests) == 1


async def nothing_for_ever(exchange: Exchange) -> None:
    """Events, so it lives, that say nothing."""
    await exchange.write(STREAM_HEAD)
    while True:
        await exchange.event({})
        await asyncio.sleep(0.02)


async def test_silence_ends_with_the_time_of_the_run(house: House, model: ModelServer) -> None:
    model.script(nothing_for_ever)
    began = time.monotonic()
    told = await house.ask(QUESTION)
    assert RUN_SECONDS - 0.5 <= time.monotonic() - began <= RUN_SECONDS + 2
    assert (told.end["type"], told.end["finish_reason"]) == ("complete", "budget_seconds")
    assert "time for this answer was used up" in told.end["answer"]
    assert told.kept[:2] == ("complete", told.text)
    await asyncio.wait_for(model.closed(), 10)


async def test_words_for_ever_end_with_the_time_and_say_so(house: House, model: ModelServer) -> None:
    model.tokens(["word "] * 10_000, gap=0.05)
    began = time.monotonic()
    told = await house.ask(QUESTION)
    assert RUN_SECONDS - 0.5 <= time.monotonic() - began <= RUN_SECONDS + 2
    assert (told.end["type"], told.end["finish_reason"]) == ("complete", "budget_seconds")
    assert told.text.startswith("word word ")
    assert "time for this answer was used up" in told.end["answer"]
    assert told.kept[:2] == ("complete", told.text)
    assert (told.run["outcome"], told.run["finish_reason"]) == ("complete", "budget_seconds")
    await asyncio.wait_for(model.closed(), 10)


async def test_the_circuit_opens_and_what_stands_in_answers_at_once(tmp_path: Path, model: ModelServer) -> None:
    settings = {**scripted_model(model), "PROVIDER_MAX_RETRIES": 0, "CIRCUIT_OPEN_SECONDS": 1.0}
    async with opened(tmp_path, settings) as house:
        model.status(500)
        for _ in range(5):
            assert (await house.ask(QUESTION)).end["model"] == "extractive"
        since = time.monotonic()
        told = await house.ask(QUESTION)
        assert told.kept == ("complete", told.text, "extractive")
        assert len(model.requests) == 5, "it is not asked while its circuit is open"
        assert await metric(house, 'provider_circuit_state{provider="openai"}') == 2
        assert await metric(house, 'provider_requests_total{outcome="circuit_open",provider="openai"}') == 1
        state = (await house.client.get("/api/v1/models/status")).json()["openai"]
        assert (state["available"], time.monotonic() - since < 1.0) == (False, True)
        model.clear()
        model.reply("It is back.")
        await asyncio.sleep(max(0.0, since + 1.05 - time.monotonic()))
        assert (await house.ask(QUESTION)).text == "It is back."
        assert await metric(house, 'provider_circuit_state{provider="openai"}') == 0


async def metric(house: House, name: str) -> float:
    text = (await house.client.get("/metrics")).text
    return next(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(f"{name} "))


async def test_neither_key_nor_question_is_in_a_log_line_or_a_metric(
    house: House, alone: House, model: ModelServer
) -> None:
    """Last, behind all that went wrong in this file."""
    for name in ("401", "500 in a row"):
        model.clear()
        BEFORE_THE_FIRST_WORD[name].script(model)
        await house.ask(QUESTION)
    for one in (house, alone):
        told = [(await one.client.get(path)).text for path in ("/metrics", "/health", "/session/stats", "/ws/stats")]
        for text in ("".join(one.service.raw), *told):
            assert all(secret not in text for secret in (API_KEY, "question4711", PARTIAL))
        assert [line for line in one.service.log if line.get("level") in ("error", "critical")] == []
