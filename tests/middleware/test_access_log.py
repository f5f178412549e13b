"""One line for each request, with nothing of what was sent."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from middleware.access_log import AccessLog
from tests.middleware.asgi import ask, plain, scope_of


def service() -> FastAPI:
    app = FastAPI()

    @app.post("/runs/{run_id}/events")
    async def events(run_id: str) -> str:
        return run_id

    @app.get("/health")
    async def health() -> str:
        return "ok"

    return app


async def logged(method: str, path: str, **request: Any) -> dict[str, Any]:
    transport = httpx.ASGITransport(AccessLog(service()))
    async with httpx.AsyncClient(transport=transport, base_url="http://service.test") as client:
        with capture_logs() as lines:
            await client.request(method, path, **request)
    [line] = lines
    assert line.pop("ms") >= 0
    return line


async def test_a_line_has_the_route_and_not_the_path_query_body_or_headers() -> None:
    line = await logged(
        "POST", "/runs/canary1/events?token=canary2", content=b"canary3", headers={"Authorization": "canary4"}
    )
    assert line == {
        "event": "request", "log_level": "info", "method": "POST", "route": "/runs/{run_id}/events", "status": 200,
    }  # fmt: skip


async def test_what_matches_no_route_is_not_repeated() -> None:
    line = await logged("GET", "/canary%0aforged")
    assert (line["route"], line["status"]) == ("unmatched", 404)


async def test_health_checks_are_quiet() -> None:
    assert (await logged("GET", "/health"))["log_level"] == "debug"


async def test_a_method_of_any_length_is_cut() -> None:
    assert (await logged("X" * 500, "/health"))["method"] == "X" * 16


async def turned_down(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.close", "code": 1008})


async def turned_down_with_an_answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.http.response.start", "status": 429, "headers": []})


async def closed_later(scope: Scope, receive: Receive, send: Send) -> None:
    await plain(scope, receive, send)
    await send({"type": "websocket.close", "code": 1000})


@pytest.mark.parametrize(
    ("app", "status"), [(plain, 101), (closed_later, 101), (turned_down, 403), (turned_down_with_an_answer, 429)]
)
async def test_a_websocket_has_a_line_when_it_is_over(app: Any, status: int) -> None:
    with capture_logs() as lines:
        await ask(AccessLog(app), scope_of(kind="websocket"))
    assert [(line["method"], line["status"]) for line in lines] == [("WEBSOCKET", status)]


async def test_a_request_that_is_given_up_has_a_line_too() -> None:
    async def given_up(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    with capture_logs() as lines, pytest.raises(asyncio.CancelledError):
        await ask(AccessLog(given_up))
    assert [line["status"] for line in lines] == [0]


async def test_other_scopes_pass() -> None:
    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    with capture_logs() as lines:
        await ask(AccessLog(nothing), {"type": "lifespan"})
    assert lines == []
