"""How a server comes and goes, alone on its port and as one of several."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from backend import http_protocol, server
from backend.accepting import Seat
from backend.http_protocol import BoundedHttp
from backend.server import Life, Server
from backend.serving import listen
from backend.worker_table import Stage, WorkerTable
from tests.e2e.raw import Answer, connected, head, read_answer

SECONDS = 20


class App:
    """Answers when the test says so; `life` is what its server asked of it, in order."""

    def __init__(self, ready: bool = True) -> None:
        self.life: list[str] = []
        self.asked, self.left, self.draining = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.answer = asyncio.Event()
        self.drained = asyncio.Event()
        self.drained.set()
        websockets = SimpleNamespace(drain=self._leave)
        indexer = SimpleNamespace(loaded=ready)
        self.state = SimpleNamespace(
            container=SimpleNamespace(websockets=websockets, indexer=indexer, drain=self._drain)
        )

    def _leave(self) -> None:
        self.life.append("leave")
        self.left.set()

    async def _drain(self) -> None:
        self.life.append("drain")
        self.draining.set()
        await self.drained.wait()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            self.asked.set()
            await self.answer.wait()
        self.life.append(scope["path"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


class House:
    """A server on a port. `end` tells it to end, and waits until it has."""

    def __init__(self, app: App, seat: Seat | None, listener: socket.socket) -> None:
        config = uvicorn.Config(
            app, http=BoundedHttp, log_config=None, lifespan="off", timeout_graceful_shutdown=1, port=0,
        )  # fmt: skip
        self.app = app
        self.server = Server(config, Life(app), seat)
        self.port = listener.getsockname()[1]
        self._task = asyncio.create_task(self.server.serve([listener] if seat else None))

    async def up(self) -> None:
        while not self.server.started:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)
        if self.server._seat is None:
            self.port = self.server.servers[0].sockets[0].getsockname()[1]

    async def end(self) -> None:
        self.server.should_exit = True
        await asyncio.wait_for(self._task, SECONDS)

    async def get(self, path: str = "/") -> Answer:
        async with connected(self.port) as (reader, writer):
            writer.write(head("GET", path))
            return await asyncio.wait_for(read_answer(reader), SECONDS)


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedHttp, "idle_seconds", 0.3)
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.3)
    assert http_protocol.IDLE_SECONDS > 0.3


@asynccontextmanager
async def running(app: App, seat: Seat | None, listener: socket.socket) -> AsyncIterator[House]:
    house = House(app, seat, listener)
    await house.up()
    try:
        yield house
    finally:
        app.answer.set()
        app.drained.set()
        await house.end()


@pytest.fixture
def listener() -> Any:
    (listener,) = listen("127.0.0.1", 0)
    with listener:
        yield listener


@pytest.fixture
def table() -> WorkerTable:
    return WorkerTable()


async def test_one_that_joins_others_accepts_when_it_is_ready(listener: socket.socket, table: WorkerTable) -> None:
    other, seat = Seat(table, table.claim()), Seat(table, row := table.claim())
    other.open()
    async with running(App(ready=False), seat, listener.dup()) as house:
        asking = asyncio.create_task(house.get())
        assert not (await asyncio.wait({asking}, timeout=0.3))[0]  # it is the waiting that is tested
        assert table.stage(row) is Stage.STARTING
        house.app.state.container.indexer.loaded = True
        assert (await asyncio.wait_for(asking, SECONDS)).status == 204
        assert table.stage(row) is Stage.READY
        assert table.silent(row) < SECONDS
        assert table.loads(0) == [0] or table.loads(0) == [1]
    assert table.stage(row) is Stage.LEAVING
    assert table.loads(0) == []


async def test_the_only_one_accepts_at_once(listener: socket.socket, table: WorkerTable) -> None:
    async with running(App(ready=False), Seat(table, table.claim()), listener.dup()) as house:
        assert (await house.get()).status == 204
        assert table.stage(0) is Stage.STARTING


async def test_one_of_several_leaves_new_connections_to_the_others_and_ends_what_it_has(
    listener: socket.socket, table: WorkerTable
) -> None:
    app, heir = App(), App()
    seat = Seat(table, table.claim())
    async with (
        running(app, seat, listener.dup()) as house,
        connected(house.port) as slow,
        connected(house.port) as kept,
        connected(house.port) as idle,
    ):
        for _, writer in (kept, idle):
            writer.write(head("GET", "/first"))
        for reader, _ in (kept, idle):
            assert "connection" not in (await read_answer(reader)).headers
        slow[1].write(head("GET", "/slow"))
        await asyncio.wait_for(app.asked.wait(), SECONDS)
        ending = asyncio.create_task(house.end())
        await asyncio.wait_for(app.left.wait(), SECONDS)
        assert table.loads(without=99) == []
        kept[1].write(head("GET", "/last"))
        last = await asyncio.wait_for(read_answer(kept[0]), SECONDS)
        assert (last.status, last.headers["connection"]) == (204, "close")
        assert await asyncio.wait_for(kept[0].read(), SECONDS) == b""
        asking = asyncio.create_task(house.get("/new"))
        async with running(heir, Seat(table, table.claim()), listener.dup()):
            assert (await asyncio.wait_for(asking, SECONDS)).status == 204
        assert await asyncio.wait_for(idle[0].read(), SECONDS) == b""
        app.answer.set()
        answer = await asyncio.wait_for(read_answer(slow[0]), SECONDS)
        assert (answer.status, answer.headers["connection"]) == (204, "close")
        await ending
    assert heir.life[0] == "/new"
    assert [event for event in app.life if event != "/first"][:2] == ["leave", "/last"]
    assert app.life.index("drain") > app.life.index("/last")
    assert "/new" not in app.life


async def test_one_that_is_alone_listens_on_until_it_has_drained(listener: socket.socket) -> None:
    app = App()
    async with running(app, None, listener) as house, connected(house.port) as (reader, writer):
        writer.write(head("GET", "/first"))
        await read_answer(reader)
        app.drained.clear()
        ending = asyncio.create_task(house.end())
        await asyncio.wait_for(app.draining.wait(), SECONDS)
        assert (await house.get("/while")).headers["connection"] == "close"
        assert await asyncio.wait_for(reader.read(), SECONDS) == b""  # idle, so it is let go
        app.drained.set()
        await ending
    assert app.life == ["/first", "leave", "drain", "/while"]


async def test_a_second_signal_waits_for_nothing(listener: socket.socket, table: WorkerTable) -> None:
    app = App()
    app.drained.clear()
    async with running(app, Seat(table, table.claim()), listener.dup()) as house:
        ending = asyncio.create_task(house.end())
        await asyncio.wait_for(app.draining.wait(), SECONDS)
        house.server.force_exit = True
        await asyncio.wait_for(ending, SECONDS)


async def test_a_request_that_comes_behind_an_answer_under_way_is_the_last_one(
    listener: socket.socket, table: WorkerTable
) -> None:
    app = App()
    async with (
        running(app, Seat(table, table.claim()), listener.dup()) as house,
        connected(house.port) as (reader, writer),
        connected(house.port) as (half, begun),
    ):
        writer.write(head("GET", "/slow") + head("GET", "/next"))
        begun.write(b"GET /half HTTP/1.1\r\n")
        await asyncio.wait_for(app.asked.wait(), SECONDS)
        ending = asyncio.create_task(house.end())
        await asyncio.wait_for(app.left.wait(), SECONDS)
        app.answer.set()
        answers = [await asyncio.wait_for(read_answer(reader), SECONDS) for _ in range(2)]
        assert [answer.headers.get("connection") for answer in answers] == [None, "close"]
        begun.write(b"Host: x\r\n\r\n")
        assert (await asyncio.wait_for(read_answer(half), SECONDS)).headers["connection"] == "close"
        await ending
