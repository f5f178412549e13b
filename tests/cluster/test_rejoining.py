"""The re-joining clients, against a service that is scripted frame by frame."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.cluster.progress import Broken
from tests.cluster.rejoining import RejoiningClient, RejoiningReader
from tests.cluster.test_progress import complete, frame, word

Talk = Callable[[dict[str, Any], web.WebSocketResponse], Awaitable[None]]
HELLO = {"type": "status", "status": "connected", "details": {}}
BUSY = {"type": "error", "code": "shutting_down", "retryable": True}


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with aiohttp.ClientSession() as session:
        yield session, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def talking(heard: list[dict[str, Any]], *talks: Talk) -> web.Application:
    """Each connection is one of `talks`; what clients say first on each goes to `heard`."""
    rest = iter(talks)

    async def talk(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json(HELLO)
        heard.append(await socket.receive_json())
        await next(rest)(heard[-1], socket)
        return socket

    app = web.Application()
    app.router.add_get("/ws/ask", talk)
    return app


def says(*frames: dict[str, Any], silent: bool = False) -> Talk:
    async def talk(_: dict[str, Any], socket: web.WebSocketResponse) -> None:
        for one in frames:
            await socket.send_json(one)
        while silent and not socket.closed:
            await socket.receive()

    return talk


async def test_a_client_attaches_behind_its_last_frame_when_its_connection_ends() -> None:
    heard: list[dict[str, Any]] = []
    app = talking(heard, says(word(1, "One "), word(2, "two ")), says(word(3, "three."), complete(4, "One two three.")))
    async with served(app) as (session, url):
        answer = await RejoiningClient(session, [url]).ask("Why?", "asked-once")
    assert heard[1] == {"type": "attach", "run_id": "run-1", "after": 2}
    assert (answer.text, answer.rejoined, answer.run_id) == ("One two three.", 1, "run-1")


async def test_a_client_that_heard_of_no_run_asks_again_under_its_request_id_in_its_session() -> None:
    heard: list[dict[str, Any]] = []
    app = talking(heard, says(), says(BUSY), says(word(1, "One."), complete(2, "One.")))
    async with served(app) as (session, url):
        client = RejoiningClient(session, [url])
        answer = await client.ask("Why?", "asked-once")
    asked = {"type": "question", "question": "Why?", "request_id": "asked-once", "session_id": client.session_id}
    assert heard == [asked] * 3
    assert (answer.rejoined, answer.refused) == (1, 1)


async def test_a_service_that_shows_no_sign_of_life_is_left() -> None:
    heard: list[dict[str, Any]] = []
    app = talking(heard, says(word(1, "One "), silent=True), says(word(2, "two."), complete(3, "One two.")))
    async with served(app) as (session, url):
        answer = await RejoiningClient(session, [url], silence=0.15).ask("Why?", "asked-once")
    assert (answer.text, answer.rejoined) == ("One two.", 1)


async def test_a_service_that_answers_pings_is_waited_for() -> None:
    async def thinks(_: dict[str, Any], socket: web.WebSocketResponse) -> None:
        for _ping in range(4):
            assert await socket.receive_json() == {"type": "ping"}
            await socket.send_json({"type": "pong"})
        await socket.send_json(complete(1, ""))

    async with served(talking([], thinks)) as (session, url):
        answer = await RejoiningClient(session, [url], silence=0.15).ask("Why?", "asked-once")
    assert answer.rejoined == 0


async def test_a_refusal_for_good_and_a_frame_twice_fail() -> None:
    gone = {"type": "error", "code": "not_found", "retryable": False}
    for talk in (says(gone), says(word(1, "One "), word(1, "One "))):
        async with served(talking([], talk)) as (session, url):
            with pytest.raises(Broken):
                await RejoiningClient(session, [url]).ask("Why?", "asked-once")


async def test_an_answer_that_never_ends_fails_in_time() -> None:
    async with served(talking([], says(silent=True))) as (session, url):
        with pytest.raises(TimeoutError, match="no end of"):
            await RejoiningClient(session, [url], patience=0.1).ask("Why?", "asked-once")


async def test_a_reader_comes_back_with_the_id_of_its_last_event() -> None:
    heard: list[Any] = []
    begun = frame(1, "status", status="streaming")
    parts = iter(([begun, word(2, "One ")], [word(3, "two."), complete(4, "One two.")]))

    async def events(request: web.Request) -> web.StreamResponse:
        heard.append((request.method, request.path, request.headers.get("Last-Event-ID")))
        heard.append((await request.json())["session_id"] if request.can_read_body else None)
        response = web.StreamResponse()
        await response.prepare(request)
        for one in next(parts):
            await response.write(f"id: run-1:{one['seq']}\ndata: {json.dumps(one)}\n\n".encode())
        return response

    app = web.Application()
    app.router.add_post("/v2/ask-stream", events)
    app.router.add_get("/runs/run-1/events", events)
    async with served(app) as (session, url):
        reader = RejoiningReader(session, [url])
        answer = await reader.ask("Why?", "asked-once")
    calls = [("POST", "/v2/ask-stream", None), reader.session_id, ("GET", "/runs/run-1/events", "run-1:2"), None]
    assert heard == calls
    assert (answer.text, answer.rejoined) == ("One two.", 1)


async def test_a_reader_that_is_refused_asks_again_or_fails() -> None:
    states = iter((503, 502, 404))

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=next(states))

    app = web.Application()
    app.router.add_post("/v2/ask-stream", refuse)
    async with served(app) as (session, url):
        with pytest.raises(Broken, match="404"):
            await asyncio.wait_for(RejoiningReader(session, [url]).ask("Why?", "asked-once"), 10)
    assert next(states, None) is None
