"""A request's body is written while the request is sent, and all of it, however large."""

import asyncio
import io
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest

from infrastructure.providers import prompt_request
from infrastructure.providers.prompt_request import PromptRequest

LARGE = 32 << 20  # bytes: more than sockets hold between two ends that do not read


class Server:
    """Takes one request with a body of a known length, reads it when it is told to, and answers."""

    def __init__(self) -> None:
        self.read_on = asyncio.Event()
        self.over = asyncio.Event()
        self.bodies: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-len"))
        await self.read_on.wait()
        with suppress(asyncio.IncompleteReadError):
            self.bodies.append(await reader.readexactly(length))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
        writer.close()
        self.over.set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        async with await asyncio.start_server(self.serve, "127.0.0.1", 0) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            self.read_on.set()
            await self.over.wait()


@pytest.fixture(params=[False, True], ids=["tasks begin later", "tasks begin at once"])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_request, "TASKS_BEGIN_AT_ONCE", request.param)


@pytest.mark.parametrize("size", [1, 1000, 100_000, LARGE])
@pytest.mark.usefixtures("at_once")
async def test_the_body_arrives_whole(size: int) -> None:
    server, body = Server(), bytes(size - 1) + b"!"
    async with server.listening() as url, aiohttp.ClientSession(request_class=PromptRequest) as session:
        asking = asyncio.create_task(session.post(url, data=io.BytesIO(body)).__aenter__())
        server.read_on.set()
        assert await (await asking).read() == b"ok"
    assert server.bodies == [body]


@pytest.mark.usefixtures("at_once")
async def test_who_stops_while_a_large_body_is_written_leaves_no_connection() -> None:
    server = Server()
    async with server.listening() as url, aiohttp.ClientSession(request_class=PromptRequest) as session:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), session.post(url, data=io.BytesIO(bytes(LARGE))):
                pass
        connector = session.connector
        assert isinstance(connector, aiohttp.TCPConnector)
        assert not connector._acquired
        assert not connector._conns
    assert server.bodies == []


def rest_of(work: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
    return prompt_request._begun(work)


async def test_what_need_not_wait_is_done_before_anybody_waits() -> None:
    done: list[str] = []

    async def work() -> None:
        done.append("all")

    rest = rest_of(work())
    assert done == ["all"]
    await rest


async def test_what_waits_goes_on_in_the_task_that_waits_for_it() -> None:
    done: list[object] = []
    first: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        done.append("begun")
        done.append(await first)
        await asyncio.sleep(0)
        done.append(asyncio.current_task())

    task = asyncio.create_task(rest_of(work()))
    assert done == ["begun"]
    first.set_result("told")
    await task
    assert done == ["begun", "told", task]


async def test_a_cancellation_is_the_work_s_to_take() -> None:
    done: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            done.append("cleaned up")

    task = asyncio.create_task(rest_of(work()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["cleaned up"]


@pytest.mark.parametrize("waits", [False, True])
async def test_a_fault_is_for_who_waits(waits: bool) -> None:
    async def work() -> None:
        if waits:
            await asyncio.sleep(0)
        raise ValueError("wrong")

    rest = rest_of(work())
    with pytest.raises(ValueError, match="wrong"):
        await rest
