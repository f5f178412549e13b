"""Streams that are followed: each from its cursor, whatever else is followed or breaks."""

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from infrastructure.redis.line import Line
from infrastructure.redis.link import RedisLink
from infrastructure.redis.script import Script
from infrastructure.redis.streams import Item, Streams
from tests.infrastructure.redis.cable import cable_to


class Heard:
    def __init__(self) -> None:
        self.values: list[bytes] = []
        self._more = asyncio.Event()

    def take(self, items: Sequence[Item]) -> None:
        self.values += [fields[1] for _, fields in items]
        self._more.set()

    async def until(self, number: int) -> list[bytes]:
        async with asyncio.timeout(30):
            while len(self.values) < number:
                self._more.clear()
                await self._more.wait()
        return self.values


async def add(link: RedisLink, key: str, *values: str) -> None:
    for value in values:
        await link.client.xadd(key, {"v": value})


async def test_a_stream_that_is_followed_while_a_read_waits_is_read_at_once(link: RedisLink) -> None:
    """Long before the read that is under way would end by itself."""
    streams = Streams(link, block_seconds=60)
    await streams.open()
    first, second = Heard(), Heard()
    a, b = f"{link.prefix}a", f"{link.prefix}b"
    streams.follow(a, first.take, b"0-0")
    await add(link, a, "1")
    assert await first.until(1) == [b"1"]
    await add(link, b, "old")
    streams.follow(b, second.take, b"0-0")
    await add(link, b, "new")
    assert await second.until(2) == [b"old", b"new"]
    streams.leave(a)
    await add(link, a, "2")
    await add(link, b, "last")
    await second.until(3)
    assert first.values == [b"1"]
    await streams.aclose()


async def test_one_that_is_to_be_followed_from_its_end_is_heard_from_there(link: RedisLink) -> None:
    key = f"{link.prefix}a"
    await add(link, key, "old")
    heard = Heard()
    streams = Streams(link)
    streams.follow(key, heard.take)
    await streams.open()
    await add(link, key, "new")
    assert await heard.until(1) == [b"new"]
    await streams.aclose()


async def test_a_taker_that_fails_does_not_end_the_reading(link: RedisLink) -> None:
    def fail(items: Sequence[Item]) -> None:
        raise ValueError("secret")

    streams, heard = Streams(link), Heard()
    streams.follow(f"{link.prefix}bad", fail, b"0-0")
    streams.follow(f"{link.prefix}good", heard.take, b"0-0")
    await streams.open()
    with capture_logs() as logs:
        await add(link, f"{link.prefix}bad", "1")
        await add(link, f"{link.prefix}good", "1")
        assert await heard.until(1) == [b"1"]
    assert [line["error"] for line in logs] == ["ValueError"]
    await streams.aclose()


async def test_a_connection_that_breaks_is_made_anew_and_read_from_the_cursors(redis_url: str, link: RedisLink) -> None:
    async with cable_to(redis_url) as cable:
        shaky = RedisLink(cable.url, prefix=link.prefix, timeout=5.0, probe_seconds=0.02)
        await shaky.open()
        streams, heard = Streams(shaky), Heard()
        streams.follow(f"{link.prefix}a", heard.take, b"0-0")
        await streams.open()
        for value in range(1, 6):
            await add(link, f"{link.prefix}a", str(value))
            await heard.until(value)
            cable.shake()
        assert heard.values == [b"1", b"2", b"3", b"4", b"5"]
        await streams.aclose()
        await shaky.aclose()


async def test_a_line_connects_anew_after_it_was_closed_from_afar(redis_url: str, link: RedisLink) -> None:
    async with cable_to(redis_url) as cable:
        other = RedisLink(cable.url, prefix=link.prefix, timeout=5.0)
        line = Line(other)
        assert await line.call("PING") == b"PONG"
        cable.shake()
        while True:  # it tells by itself as soon as the news is here
            await asyncio.sleep(0)
            assert line._connection is not None
            if await line._connection.can_read():
                break
        assert await line.call("PING") == b"PONG"
        await line.aclose()
        await other.aclose()


async def test_a_line_whose_call_was_given_up_does_not_take_its_answer_for_the_next_ones(link: RedisLink) -> None:
    line = Line(link)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await line.call("XREAD", "BLOCK", 200, "STREAMS", f"{link.prefix}none", "0")
    assert await line.call("ECHO", "this") == b"this"
    await line.aclose()


async def test_a_script_that_redis_has_forgotten_is_sent_again(link: RedisLink) -> None:
    script = Script(f"return {{KEYS[1], ARGV[1], '{link.prefix}'}}")
    for _ in range(2):
        assert await script(link.client.execute_command, ["k"], ["a"]) == [b"k", b"a", link.prefix.encode()]
    await link.client.script_flush()
    assert (await script(link.client.execute_command, ["k"], ["b"]))[1] == b"b"
