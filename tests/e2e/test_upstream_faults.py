"""A model that misbehaves: every run ends, once, in time, with what was said kept and nothing told that is nobody's."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import API_KEY
from tests.e2e.service import Service, Socket, answer_of, of_run
from tests.model_server import ModelServer
from tests.model_wire import sse

pytestmark = pytest.mark.asyncio(loop_scope="module")
RUN_SECONDS = 4.0
SETTINGS = {
    "PROVIDER_MAX_RETRIES": 1,
    "CIRCUIT_OPEN_SECONDS": 0.001,  # so much goes wrong here that nothing would be asked any more
    "PROVIDER_IDLE_TIMEOUT_SECONDS": 0.4,
    "PROVIDER_FIRST_BYTE_TIMEOUT_SECONDS": 0.4,
    "RUN_MAX_SECONDS": RUN_SECONDS,
    "MAX_TOOL_ITERATIONS": 3,
    "LOG_LEVEL": "DEBUG",
}
QUESTION = "What is a liquidation threshold, says question4711?"
PARTIAL = "It is the value at "
Script = Callable[[ModelServer], None]


def chunk(text: str) -> bytes:
    return sse({"choices": [{"index": 0, "delta": {"content": text}}]})


def with_text(*then: bytes) -> Script:
    return lambda model: model.body(chunk(PARTIAL), *then)


BROKEN: dict[str, tuple[Script, str]] = {
    "broken JSON": (with_text(b"data: {broken\n\n"), "provider_protocol_error"),
    "JSON of the wrong shape": (with_text(b'data: {"choices": 7}\n\n'), "provider_protocol_error"),
    "NaN": (with_text(b'data: {"choices": [{"delta": {"content": NaN}}]}\n\n'), "provider_protocol_error"),
    "invalid UTF-8": (with_text(b'data: {"x": "\xff"}\n\n'), "provider_protocol_error"),
    "deep JSON": (with_text(b"data: " + b"[" * 100_000 + b"\n\n"), "provider_protocol_error"),
    "a line without end": (with_text(*[b"a" * 65536] * 160), "provider_protocol_error"),
    "an end too early": (with_text(), "provider_protocol_error"),
    "half a stream": (lambda model: model.cut([PARTIAL]), "provider_protocol_error"),
    "an error object": (with_text(sse({"error": {"message": f"{API_KEY} {QUESTION}"}})), "provider_unavailable"),
    "silence in the middle": (lambda model: model.hang([PARTIAL]), "provider_unavailable"),
    "drips that make no event": (lambda model: model.drip(tokens=[PARTIAL]), "provider_unavailable"),
}
SILENT: dict[str, Script] = {
    "no first byte": lambda model: model.hang(),
    "a head and no more": lambda model: model.hang([]),
    "drips": lambda model: model.drip(),
    "a reset": lambda model: model.reset(),
    "401": lambda model: model.status(401, body={"error": {"message": f"wrong key {API_KEY}"}}),
    "400": lambda model: model.status(400, body={"error": {"message": QUESTION, "code": "context_length_exceeded"}}),
    "429": lambda model: model.status(429, {"Retry-After": "0"}),
    "500": lambda model: model.status(500, body=b"<html>" + QUESTION.encode()),
    "a redirect": lambda model: model.redirect(f"http://elsewhere.example/?key={API_KEY}"),
    "no HTTP": lambda model: model.raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "HTML": lambda model: model.body(b"<html>hello</html>", content_type="text/html"),
    "nothing": lambda model: model.body(b""),
    "broken chunking": lambda model: model.raw(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"
    ),
}


async def ask(service: Service, **more: Any) -> list[dict[str, Any]]:
    async with service.socket() as socket:
        await socket.hello()
        return await ask_over(socket, **more)


async def ask_over(socket: Socket, **more: Any) -> list[dict[str, Any]]:
    """The run's frames; exactly one of them is terminal, and the last."""
    run = of_run(await socket.ask(QUESTION, **more))
    assert [frame["seq"] for frame in run] == list(range(1, len(run) + 1))
    terminal = [f for f in run if f["type"] in ("complete", "error") or f.get("status") == "cancelled"]
    assert terminal == run[-1:]
    return run


@pytest.mark.parametrize("name", BROKEN)
async def test_a_stream_that_breaks_ends_the_run_and_keeps_its_text(
    name: str, shared: Service, scripted: ModelServer
) -> None:
    script, code = BROKEN[name]
    script(scripted)
    scripted.reply("And so on.")
    async with shared.socket() as socket:
        await socket.hello()
        run = await ask_over(socket)
        last = run[-1]
        assert (last["type"], last["code"], last["retryable"]) == ("error", code, True)
        assert last["answer"] == answer_of(run) == PARTIAL
        assert len(scripted.requests) == 1  # once text has come there is no second try
        assert answer_of(await ask_over(socket)) == "And so on."
    said = [message["content"] for message in scripted.requests[1].body["messages"]]
    assert said[1:3] == [QUESTION, PARTIAL]


@pytest.mark.parametrize("name", SILENT)
async def test_a_model_that_fails_before_its_first_word_is_stood_in_for(
    name: str, shared: Service, scripted: ModelServer
) -> None:
    SILENT[name](scripted)
    run = await ask(shared)
    assert (run[-1]["type"], run[-1]["model"]) == ("complete", "extractive")
    assert [frame["model"] for frame in run if frame["type"] == "metadata"] == ["scripted", "extractive"]
    assert run[-1]["answer"] == answer_of(run)
    assert 1 <= len(scripted.requests) <= 2


async def test_a_model_that_recovers_is_asked_again_when_it_said(shared: Service, scripted: ModelServer) -> None:
    scripted.status(429, {"Retry-After": "1"})
    scripted.reply("Now it works.")
    assert answer_of(await ask(shared)) == "Now it works."
    first, second = scripted.requests
    assert second.at - first.at >= 1.0


async def test_tools_for_ever_end_within_the_budget_and_say_so(shared: Service, scripted: ModelServer) -> None:
    scripted.tools_forever("search_knowledge_base", {"query": "liquidation"})
    run = await ask(shared)
    last = run[-1]
    assert (last["type"], last["finish_reason"]) == ("complete", "budget_repeats")
    assert "was repeated" in last["answer"]
    assert len(scripted.requests) <= 5


async def test_ever_new_tool_calls_end_within_the_budget_too(shared: Service, scripted: ModelServer) -> None:
    for i in range(20):
        scripted.tool_call("search_knowledge_base", {"query": f"liquidation {i}"})
    last = (await ask(shared))[-1]
    assert (last["type"], last["finish_reason"]) == ("complete", "budget_steps")
    assert "limit of tool steps" in last["answer"]
    assert len(scripted.requests) <= 5


async def test_words_for_ever_end_with_the_time_and_say_so(shared: Service, scripted: ModelServer) -> None:
    scripted.tokens(["word "] * 10_000, gap=0.05)
    began = asyncio.get_running_loop().time()
    last = (await ask(shared))[-1]
    assert RUN_SECONDS - 0.5 <= asyncio.get_running_loop().time() - began <= RUN_SECONDS + 2
    assert (last["type"], last["finish_reason"]) == ("complete", "budget_seconds")
    assert "time for this answer was used up" in last["answer"]
    await asyncio.wait_for(scripted.closed(), 5)


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("canary_tool", "{}", "There is no such tool"),
        ("search_knowledge_base", "{broken", "not valid"),
        ("search_knowledge_base", '{"query": 7}', "not valid"),
        ("search_knowledge_base", "[]", "not valid"),
        ("search_knowledge_base", '{"query": "x", "extra": 1}', "not valid"),
        ("search_knowledge_base", json.dumps({"query": "x" * 20_000}), "too long"),
        ("read_knowledge_file", "{}", "not valid"),
        ("read_knowledge_file", '{"filename": "defi/lending.md", "start": -5}', "not valid"),
        *[
            ("read_knowledge_file", json.dumps({"filename": path}), "There is no such file")
            for path in ("/etc/passwd", "../pyproject.toml", "defi/../../pyproject.toml", "%2e%2e/pyproject.toml",
                         "file:///etc/passwd", "defi/lending.md\0", "./defi/lending.md", "~/.ssh/id_rsa", ".", "defi",
                         "..\\..\\pyproject.toml", "\\\\host\\share")
        ],
    ],
)  # fmt: skip
async def test_a_tool_call_that_cannot_be_is_told_to_the_model(
    name: str, arguments: str, told: str, shared: Service, scripted: ModelServer
) -> None:
    scripted.tool_call(name, arguments)
    scripted.reply("I could not look it up.")
    run = await ask(shared)
    result = scripted.requests[1].body["messages"][-1]
    call = scripted.requests[1].body["messages"][-2]["tool_calls"][0]
    assert (result["role"], result["tool_call_id"]) == ("tool", call["id"])
    assert told in result["content"]
    assert "root:" not in result["content"]
    assert "[project]" not in result["content"]
    steps = [frame for frame in run if frame["type"] == "step" and frame["name"] != "retrieve"]
    assert [step["state"] for step in steps] == ["started", "failed"]
    assert "canary" not in str(steps)
    assert (run[-1]["type"], run[-1]["answer"]) == ("complete", "I could not look it up.")


async def test_a_file_of_the_knowledge_is_read(shared: Service, scripted: ModelServer) -> None:
    scripted.tool_call("read_knowledge_file", {"filename": "defi/lending.md", "start": 0, "end": 200})
    scripted.reply("Read it.")
    run = await ask(shared)
    assert "lending" in scripted.requests[1].body["messages"][-1]["content"].lower()
    assert run[-1]["answer"] == "Read it."


async def test_neither_key_nor_question_is_in_a_log_line_or_a_metric(shared: Service, scripted: ModelServer) -> None:
    SILENT["401"](scripted)
    await ask(shared)
    async with shared.client() as client:
        told = [(await client.get(path)).text for path in ("/metrics", "/health", "/session/stats", "/ws/stats")]
    log = "".join(shared.raw)
    for text in (log, *told):
        assert API_KEY not in text
        assert "question4711" not in text
        assert PARTIAL not in text
    assert [line for line in shared.log if line.get("level") in ("error", "critical")] == []
