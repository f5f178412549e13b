"""Responses written bit by bit: when their head leaves, how they break, and who is let go."""

import asyncio
from contextlib import suppress
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import Response

from backend.streaming import COMMENT, Stream
from infrastructure.error_handlers import install_error_handlers
from infrastructure.errors import NotFound, ProviderProtocolError
from tests.backend.serving import serving
from tests.e2e.raw import connected, head


class Scripted(Stream):
    """Puts out `pieces`, then raises `error` or, without one, waits for `gate`."""

    def __init__(self, *pieces: bytes, error: Exception | None = None, **options: Any) -> None:
        self.slow = asyncio.Event()
        super().__init__(**{"silence": 30.0, "send_timeout": 30.0, "on_slow": self.slow.set} | options)
        self.pieces = pieces
        self.error = error
        self.gate = asyncio.Event()
        self.ended = asyncio.Event()

    async def write(self) -> None:
        try:
            for piece in self.pieces:
                await self.put(piece)
            if self.error is not None:
                raise self.error
            await self.gate.wait()
        finally:
            self.ended.set()


def app_of(stream: Stream) -> FastAPI:
    app = FastAPI()
    install_error_handlers(app, lambda kind: None)

    @app.get("/", response_class=Response)
    async def read() -> Any:
        return stream

    return app


async def test_an_error_before_the_first_piece_has_its_own_status() -> None:
    async with serving(app_of(Scripted(error=NotFound("No such run.")))) as client:
        response = await client.get("/")
    assert (response.status_code, response.json()["type"]) == (404, "not_found")


async def test_an_error_behind_the_first_piece_ends_the_connection_without_the_bodys_end() -> None:
    stream = Scripted(b"half an ", error=ProviderProtocolError("The model broke off."))
    async with serving(app_of(stream)) as client, client.stream("GET", "/") as response:
        assert response.status_code == 200
        pieces = response.aiter_bytes()
        assert await anext(pieces) == b"half an "
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await anext(pieces)


async def test_an_error_of_ours_is_raised_where_the_connection_cannot_be_cut() -> None:
    error = ProviderProtocolError("The model broke off.")
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(ProviderProtocolError):
        await Scripted(b"half an ", error=error)({"type": "http"}, receive, send)
    assert sent[-1]["more_body"]


async def test_silence_is_broken_by_a_sign_of_life() -> None:
    stream = Scripted(b"first", silence=0.05)
    async with serving(app_of(stream)) as client, client.stream("GET", "/") as response:
        pieces = response.aiter_bytes()
        assert await anext(pieces) == b"first"
        assert await anext(pieces) == COMMENT
        assert await anext(pieces) == COMMENT
        stream.gate.set()
        assert [piece async for piece in pieces if piece != COMMENT] == []


async def test_a_client_that_leaves_ends_the_writing() -> None:
    stream = Scripted(b"first")
    async with serving(app_of(stream)) as client:
        async with client.stream("GET", "/") as response:
            assert await anext(response.aiter_bytes()) == b"first"
        await asyncio.wait_for(stream.ended.wait(), 30)
    assert not stream.slow.is_set()


async def test_a_client_that_does_not_read_is_cut_off_and_told_of() -> None:
    large = [b"x" * 1024 * 1024] * 8
    stream = Scripted(*large, send_timeout=0.2)
    async with serving(app_of(stream)) as client:
        port = client.base_url.port
        assert port is not None
        async with connected(port, receive_bytes=4096) as (reader, writer):
            writer.transport.pause_reading()
            writer.write(head("GET", "/"))
            await asyncio.wait_for(stream.slow.wait(), 30)
            await asyncio.wait_for(stream.ended.wait(), 30)
            writer.transport.resume_reading()
            read = 0
            with suppress(ConnectionError):
                while data := await asyncio.wait_for(reader.read(65536), 30):
                    read += len(data)
    assert read < sum(map(len, large))
