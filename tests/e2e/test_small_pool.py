"""One database connection for everybody: no answer that is being written holds it."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.databases import migrated_url
from tests.e2e.conftest import scripted_model
from tests.e2e.crash_check import check_database, opened
from tests.e2e.service import Service, Socket, answer_of, running
from tests.model_server import ModelServer
from tests.model_wire import STREAM_HEAD, Exchange

STREAMS = 100
WITHIN = 1.0  # seconds that a small request may take meanwhile
QUESTION = "Why is it so?"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return migrated_url(request.param, request, tmp_path)


async def begin(socket: Socket) -> str:
    """Ask, and wait for the first word; the session's id."""
    session = str((await socket.hello())["session_id"])
    await socket.send(type="question", question=QUESTION)
    await socket.until(type="word")
    return session


async def in_time(service: Service, path: str) -> dict[str, Any]:
    async with service.client() as client:
        began = time.perf_counter()
        response = await client.get(path)
        took = time.perf_counter() - began
    assert response.status_code == 200, response.text
    assert took < WITHIN, f"{path} took {took:.2f} s"
    body: dict[str, Any] = response.json()
    return body


async def test_a_pool_of_one_serves_a_hundred_streams(url: str, tmp_path: Path, model: ModelServer) -> None:
    gate = model.gate()

    async def half_of_it(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD)
        await exchange.event({"content": "Half of it, "})
        await gate.wait()
        await exchange.event({"content": "and the rest."})
        await exchange.end()

    model.script(half_of_it)
    settings = {"DATABASE_URL": url, "DATABASE_POOL_SIZE": 1, "WS_MAX_CONNECTIONS_PER_ADDRESS": STREAMS + 10}
    async with running(tmp_path, scripted_model(model) | settings) as service, AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(service.socket()) for _ in range(STREAMS)]
        sessions = await asyncio.gather(*map(begin, sockets))
        assert model.open_streams == STREAMS
        for session in sessions[:5]:
            assert (await in_time(service, "/health/ready"))["database"] == "ok"
            chat = await in_time(service, f"/api/v1/chats/{session}")
            assert (chat["id"], chat["title"]) == (session, QUESTION)
            (message,) = (await in_time(service, f"/api/v1/chats/{session}/messages"))["items"]
            assert message["content"] == QUESTION
            assert (await in_time(service, "/api/v1/chats"))["items"] == []
        if url.startswith("postgresql"):
            assert await connections(url) == 1
        assert model.open_streams == STREAMS, "they are all still being written"
        gate.open()
        ends = await asyncio.gather(*(socket.until(status="ready") for socket in sockets))
        assert {answer_of(frames) for frames in ends} == {"and the rest."}
        assert {frames[-2]["answer"] for frames in ends} == {"Half of it, and the rest."}
        for session in sessions:
            items = (await in_time(service, f"/api/v1/chats/{session}/messages"))["items"]
            assert [(item["content"], item["status"]) for item in items] == [
                (QUESTION, "complete"), ("Half of it, and the rest.", "complete"),
            ]  # fmt: skip
    async with opened(url) as database:
        await check_database(database, all_ended=True)


async def connections(url: str) -> int:
    """How many connections others have to a PostgreSQL database."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    async with opened(url) as database, database.read() as session:
        return int((await session.execute(text(query))).scalar_one())
