"""The HTTP protocol's bounds in time: a head that does not come, an answer that nobody reads."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from backend.http_protocol import BoundedHttp
from tests.e2e.raw import connected, head, read_answer

LARGE = b"x" * 4 * 1024 * 1024


class Quick(BoundedHttp):
    head_seconds = 0.2
    send_seconds = 0.2


async def large(scope: Any, receive: Any, send: Any) -> None:
    """Answers with more than any buffer takes."""
    length = (b"content-length", str(len(LARGE)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": LARGE})


async def slow(scope: Any, receive: Any, send: Any) -> None:
    """Takes longer to answer than a head may take."""
    await asyncio.sleep(2 * Quick.head_seconds)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[int]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=Quick, log_config=None, lifespan="off"))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        await server.shutdown()


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: a"])
async def test_a_head_that_does_not_come_closes_the_connection(sent: bytes) -> None:
    async with serving(slow) as port, connected(port) as (reader, writer):
        writer.write(sent)
        assert await asyncio.wait_for(reader.read(), 30) == b""


async def test_a_head_that_is_late_on_a_used_connection_closes_it_too() -> None:
    async with serving(slow) as port, connected(port) as (reader, writer):
        writer.write(head("GET", "/"))
        assert (await read_answer(reader)).status == 204
        writer.write(b"GET / HT")
        assert await asyncio.wait_for(reader.read(), 30) == b""


async def test_the_time_for_a_head_does_not_cut_an_answer_short() -> None:
    async with serving(slow) as port, connected(port) as (reader, writer):
        writer.write(head("GET", "/") + b"GET / HT")
        assert (await asyncio.wait_for(read_answer(reader), 30)).status == 204


async def test_an_answer_that_nobody_reads_is_cut_off() -> None:
    async with serving(large) as port, connected(port, receive_bytes=4096) as (reader, writer):
        writer.transport.pause_reading()
        writer.write(head("GET", "/"))
        await asyncio.sleep(3 * Quick.send_seconds)  # it is the waiting that is tested
        writer.transport.resume_reading()
        read = b""
        with contextlib.suppress(ConnectionError):
            while data := await asyncio.wait_for(reader.read(65536), 30):
                read += data
        assert len(read) < len(LARGE)


async def test_an_answer_that_is_read_is_whole() -> None:
    async with serving(large) as port, connected(port) as (reader, writer):
        writer.write(head("GET", "/"))
        assert (await asyncio.wait_for(read_answer(reader), 30)).body == LARGE
