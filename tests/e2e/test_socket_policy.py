"""Who may open a WebSocket, how much may come over it, and when it is let go."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import jsonschema
import pytest
import pytest_asyncio
import websockets

from tests.e2e.raw import CLOSE, HANDSHAKE, PING, TEXT, exchange, head, raw_socket
from tests.e2e.service import Service, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUESTION = "What is a flash loan?"
BEAT = 0.3
QUESTIONS_A_WINDOW = 4
FRAMES_A_WINDOW = 1000  # what a socket may send at least
ALLOWED = "https://chat.example.com"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strict(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service with small limits."""
    settings = {
        "WS_MAX_CONNECTIONS_PER_ADDRESS": 3,
        "WS_HEARTBEAT_SECONDS": BEAT,
        "RATE_LIMIT_REQUESTS_PER_MINUTE": QUESTIONS_A_WINDOW,
        "ALLOWED_ORIGINS": f"{ALLOWED}, http://other.example:8080/",
    }
    async with running(tmp_path_factory.mktemp("strict"), settings) as service:
        yield service


@pytest.mark.parametrize("path", ["/ws/ask", "/ws/test"])
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://chat.example.com", f"{ALLOWED}.evil.example", f"{ALLOWED}:444",
               "https://evil.example/?https://chat.example.com", "http://localhost:3000"]
)  # fmt: skip
async def test_another_origin_is_refused_in_the_handshake(origin: str, path: str, strict: Service) -> None:
    answer = await exchange(strict.port, head("GET", path, **HANDSHAKE, Origin=origin))
    body = answer.json()
    assert (answer.status, body["code"], body["type"]) == (403, 403, "forbidden")
    assert body["request_id"] == answer.headers["x-request-id"]
    assert origin not in answer.body.decode()


@pytest.mark.parametrize("origin", [None, "own", ALLOWED, ALLOWED.upper(), "http://other.example:8080"])
async def test_no_origin_the_own_one_and_the_allowed_ones_are_let_in(origin: str | None, strict: Service) -> None:
    own = strict.url if origin == "own" else origin
    async with strict.socket(origin=own) as socket:
        details = await socket.hello()
    assert details["protocol_version"] == "1.0"
    assert details["capabilities"] == ["streaming", "cancellation", "pause_resume", "replay"]
    assert (details["heartbeat_interval"], details["max_message_bytes"]) == (BEAT, 65536)


async def test_two_origins_are_one_too_many(strict: Service) -> None:
    lines = (f"Origin: {ALLOWED}", "Origin: https://evil.example")
    assert (await exchange(strict.port, head("GET", "/ws/ask", *lines, **HANDSHAKE))).status in (400, 403)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Sec-WebSocket-Key": "canary7f3a"}, 400),
        ({"Sec-WebSocket-Version": "canary7f3a"}, 400),
        ({"Sec-WebSocket-Version": "12"}, 400),
        ({"X-Long": "canary7f3a" * 1000}, 431),
        ({f"X-{i}": "a" for i in range(200)}, 431),
    ],
)
async def test_a_broken_handshake_is_told_in_the_one_shape(
    changes: dict[str, str], status: int, embedded: Service
) -> None:
    answer = await exchange(embedded.port, head("GET", "/ws/ask", **(HANDSHAKE | changes)))
    body = answer.json()
    assert (answer.status, body["code"]) == (status, status)
    assert set(body) == {"detail", "type", "code", "request_id"}
    assert "canary" not in answer.body.decode()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/ws/none", 404), ("GET", "/ask", 404), ("GET", "/static/page.js", 404), ("POST", "/ws/ask", 405)],
)
async def test_there_are_no_other_doors(method: str, path: str, status: int, embedded: Service) -> None:
    answer = await exchange(embedded.port, head(method, path, **HANDSHAKE))
    assert (answer.status, answer.json()["code"]) == (status, status)


async def test_one_connection_too_many_from_an_address_is_closed_with_1008(strict: Service) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await (await stack.enter_async_context(strict.socket())).hello()
        async with strict.socket() as fourth:
            assert await fourth.closed() == 1008
    async with asyncio.timeout(10):  # their places are free again
        while True:
            async with strict.socket() as socket:
                try:
                    return await _hello(socket.connection)
                except websockets.ConnectionClosed:
                    continue


async def _hello(connection: websockets.ClientConnection) -> None:
    assert json.loads(await connection.recv())["status"] == "connected"


async def test_a_peer_that_shows_no_sign_of_life_is_closed_after_three_intervals(strict: Service) -> None:
    loop = asyncio.get_running_loop()
    async with raw_socket(strict.port) as dead:
        began = loop.time()
        seen: list[tuple[int, str]] = []
        while not seen or seen[-1][0] != CLOSE:
            opcode, payload = await asyncio.wait_for(dead.frame(), 20)
            seen.append((opcode, json.loads(payload)["type"] if opcode == TEXT else ""))
        assert 3 * BEAT - 0.1 <= loop.time() - began <= 3 * BEAT + 1.5
    assert payload[:2] == (1008).to_bytes(2, "big")
    assert seen[0] == (TEXT, "status")
    assert seen[1:5] == [(TEXT, "heartbeat"), (PING, "")] * 2


async def test_a_pong_or_any_frame_is_a_sign_of_life(strict: Service) -> None:
    async with strict.socket() as pongs, raw_socket(strict.port) as frames:  # websockets answers pings by itself
        for _ in range(5):
            await pongs.until(type="heartbeat")
            await frames.until("heartbeat")
            frames.say(type="heartbeat_response")
        frames.say(type="ping")
        assert await frames.until("pong")
        await pongs.send(type="ping")
        await pongs.until(type="pong")


async def test_a_flood_closes_the_connection_with_1008(strict: Service) -> None:
    async with strict.socket() as socket:
        await socket.hello()
        for _ in range(FRAMES_A_WINDOW + 1):
            await socket.connection.send('{"type":"heartbeat_response"}')
        assert await socket.closed() == 1008


async def test_a_question_too_many_is_told_in_an_error_frame(strict: Service) -> None:
    async with strict.socket() as socket:
        await socket.hello()
        for _ in range(QUESTIONS_A_WINDOW):
            await socket.send(type="question", question=QUESTION)
            await socket.until(status="ready")
        await socket.send(type="question", question=QUESTION)
        refused = (await socket.until(type="error"))[-1]
        await socket.send(type="ping")
        await socket.until(type="pong")
    assert (refused["code"], refused["retryable"], refused["processing_stage"]) == ("rate_limited", True, "error")
    assert 0 < refused["retry_after"] <= 61
    async with strict.client() as client:  # it is one counter for both ways
        assert (await client.post("/ask", json={"question": QUESTION})).status_code == 429


async def test_the_schema_describes_the_frames_of_a_run_and_of_its_connection(embedded: Service) -> None:
    async with embedded.client() as client:
        schema: dict[str, Any] = (await client.get("/ws/schema")).json()
    jsonschema.Draft202012Validator.check_schema(schema)
    async with embedded.socket() as socket:
        frames = [await socket.next()]
        frames += await socket.ask("What is a liquidation threshold?")
        frames += await socket.ask(QUESTION)
        await socket.send(type="attach", run_id=frames[1]["run_id"], after=2)
        frames += await socket.until(status="ready")
        for message in ({"type": "ping"}, {"type": "pause"}, {"type": "nonsense"}, {"type": "cancel"}):
            await socket.send(**message)
            frames.append(await socket.next())
    names: dict[str, set[str]] = {"run": set(), "connection": set()}
    for frame in frames:
        part = "run" if "seq" in frame else "connection"
        names[part].add(frame["type"])
        jsonschema.validate(frame, schema)
        jsonschema.validate(frame, schema["$defs"][part] | {"$defs": schema["$defs"]})
    assert names["run"] == {"status", "step", "metadata", "word", "complete"}
    assert names["connection"] == {"status", "pong", "error"}
    for wrong in ({}, {"type": "word"}, {"type": "complete", "answer": 7}, {"type": "unheard of"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
