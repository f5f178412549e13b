"""Signals: each worker hears each once, in order, from its start on."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from infrastructure.redis.link import RedisAway, RedisLink
from infrastructure.redis.signals import Signals
from infrastructure.redis.streams import Streams
from tests.infrastructure.redis.cable import Cable, cable_to


class Listener:
    """A worker that hears what is said."""

    def __init__(self, link: RedisLink, streams: Streams) -> None:
        self.link = link
        self.streams = streams
        self.signals = Signals(link, streams)
        self.heard: asyncio.Queue[str] = asyncio.Queue()
        self.signals.on("news", self.hear)

    def hear(self, data: Mapping[str, str]) -> None:
        self.heard.put_nowait(data["what"])

    async def hears(self, number: int) -> list[str]:
        async with asyncio.timeout(30):
            return [await self.heard.get() for _ in range(number)]


@asynccontextmanager
async def listening(url: str, prefix: str) -> AsyncIterator[Listener]:
    link = RedisLink(url, prefix=prefix, timeout=5.0, probe_seconds=0.02)
    await link.open()
    streams = Streams(link)
    listener = Listener(link, streams)
    await streams.open()
    yield listener
    await streams.aclose()
    await link.aclose()


@pytest.fixture
def prefix() -> str:
    return f"test:{uuid4().hex}:"


async def test_a_signal_reaches_all_workers_its_sender_too(redis_url: str, prefix: str) -> None:
    async with listening(redis_url, prefix) as a, listening(redis_url, prefix) as b:
        for what in ("one", "two", "three"):
            await a.signals.send("news", {"what": what})
        assert await a.hears(3) == await b.hears(3) == ["one", "two", "three"]


async def test_what_was_said_before_a_worker_began_is_not_for_it(redis_url: str, prefix: str) -> None:
    async with listening(redis_url, prefix) as a:
        await a.signals.send("news", {"what": "old"})
        async with listening(redis_url, prefix) as b:
            await a.signals.send("news", {"what": "new"})
            assert await b.hears(1) == ["new"]


async def test_another_prefix_hears_nothing_and_other_kinds_are_for_others(redis_url: str, prefix: str) -> None:
    async with listening(redis_url, prefix) as a, listening(redis_url, f"{prefix}b:") as b:
        await b.signals.send("news", {"what": "theirs"})
        await a.signals.send("weather", {"what": "rain"})
        await a.signals.send("news", {"what": "ours"})
        assert await a.hears(1) == ["ours"]
        assert await b.hears(1) == ["theirs"]


async def test_a_handler_that_fails_keeps_nobody_from_hearing(redis_url: str, prefix: str) -> None:
    async with listening(redis_url, prefix) as a:

        def fail(data: Mapping[str, str]) -> None:
            raise KeyError("secret")

        handlers = a.signals._handlers["news"]
        handlers.insert(0, fail)
        with capture_logs() as logs:
            await a.signals.send("news", {"what": "one"})
            await a.signals.send("news", {"what": "two"})
            assert await a.hears(2) == ["one", "two"]
        assert [line["error"] for line in logs] == ["KeyError", "KeyError"]


async def test_a_broken_connection_loses_nothing_and_repeats_nothing(redis_url: str, prefix: str) -> None:
    async with cable_to(redis_url) as cable, listening(cable.url, prefix) as a, listening(redis_url, prefix) as b:
        for number in range(30):
            await b.signals.send("news", {"what": str(number)})
            if number % 7 == 3:
                cable.shake()
        assert await a.hears(30) == [str(number) for number in range(30)]
        assert a.heard.empty()


async def test_what_is_said_while_a_worker_is_cut_off_reaches_it_when_it_is_back(redis_url: str, prefix: str) -> None:
    async with cable_to(redis_url) as cable, listening(cable.url, prefix) as a, listening(redis_url, prefix) as b:
        await b.signals.send("news", {"what": "before"})
        assert await a.hears(1) == ["before"]
        await cut(cable, a.link)
        with pytest.raises(RedisAway):
            await a.signals.send("news", {"what": "nothing"})
        await b.signals.send("news", {"what": "meanwhile"})
        cable.mend()
        assert await a.hears(1) == ["meanwhile"]


async def test_a_worker_that_starts_without_redis_hears_from_its_coming_on(redis_url: str, prefix: str) -> None:
    async with cable_to(redis_url) as cable, listening(redis_url, prefix) as b:
        cable.cut()
        async with listening(cable.url, prefix) as a:
            await b.signals.send("news", {"what": "before"})
            there = asyncio.Event()
            a.link.listen(lambda available: there.set() if available else None)
            cable.mend()
            await there.wait()
            async with asyncio.timeout(30):
                while a.heard.empty():  # from when it listens nobody tells
                    await b.signals.send("news", {"what": "now"})
                    await asyncio.sleep(0.01)
            assert await a.hears(1) == ["now"]


async def cut(cable: Cable, link: RedisLink) -> None:
    """Cut a worker off, and wait until it knows."""
    cable.cut()
    with pytest.raises(RedisAway):
        await link.ask(lambda client: client.ping())
