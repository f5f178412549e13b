"""Bodies read in the call in which their bytes arrive."""

import asyncio
from collections.abc import AsyncIterator
from contextvars import ContextVar

import aiohttp
import pytest

from infrastructure.errors import ProviderProtocolError
from infrastructure.providers.body import TellingConnector, read_body
from tests.model_server import ModelServer
from tests.model_wire import LAST_CHUNK, STREAM_HEAD, Exchange

WHO: ContextVar[str] = ContextVar("who", default="nobody")
URL = "/chat/completions"


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=TellingConnector()) as client:
        yield client


async def read(client: aiohttp.ClientSession, server: ModelServer) -> bytes:
    pieces: list[bytes] = []

    def take(data: bytes) -> bool:
        pieces.append(data)
        return False

    async with client.post(server.url + URL, json={}) as response:
        await read_body(response, take)
    return b"".join(pieces)


async def test_a_body_is_read_to_its_end_and_its_connection_used_again(
    server: ModelServer, client: aiohttp.ClientSession
) -> None:
    connections: set[object] = set()

    async def answer(exchange: Exchange) -> None:
        connections.add(exchange._connection)
        await exchange.write(STREAM_HEAD)
        for piece in (b"one ", b"two ", b"three"):
            await exchange.chunk(piece)
        await exchange.write(LAST_CHUNK)

    for _ in range(3):
        server.script(answer)
        assert await read(client, server) == b"one two three"
    assert len(connections) == 1


async def test_more_than_a_buffer_in_one_go_arrives_whole(server: ModelServer, client: aiohttp.ClientSession) -> None:
    sent = b"0123456789abcdef" * 200_000

    async def answer(exchange: Exchange) -> None:
        await exchange.plain(sent, 200, {})

    server.script(answer)
    assert await read(client, server) == sent


async def test_pieces_are_taken_in_the_context_of_the_one_who_reads(
    server: ModelServer, client: aiohttp.ClientSession
) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD)
        await exchange.chunk(b"x")
        await exchange.write(LAST_CHUNK)

    async def who_reads(name: str) -> list[str]:
        WHO.set(name)
        seen: list[str] = []

        def take(_: bytes) -> bool:
            seen.append(WHO.get())
            return False

        server.script(answer)
        async with client.post(server.url + URL, json={}) as response:
            await read_body(response, take)
        return seen

    assert await asyncio.create_task(who_reads("first")) == ["first"]
    assert await asyncio.create_task(who_reads("second")) == ["second"]  # over the connection that the first opened


async def test_what_taking_raises_ends_the_reading(server: ModelServer, client: aiohttp.ClientSession) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD)
        await exchange.chunk(b"x")

    def refuse(_: bytes) -> bool:
        raise ValueError("no more of this")

    server.script(answer)
    async with client.post(server.url + URL, json={}) as response:
        with pytest.raises(ValueError, match="no more"):
            await read_body(response, refuse)


async def test_a_connection_that_breaks_in_the_chunked_coding_fails(
    server: ModelServer, client: aiohttp.ClientSession
) -> None:
    begun = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD)
        await exchange.chunk(b"whole")
        await begun.wait()
        await exchange.write(b"zz\r\nbroken")

    def take(_: bytes) -> bool:
        begun.set()
        return False

    server.script(answer)
    async with client.post(server.url + URL, json={}) as response:
        with pytest.raises(ProviderProtocolError, match="broken HTTP"):
            async with asyncio.timeout(30):
                await read_body(response, take)
