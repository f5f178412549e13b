"""The chat feed of several workers over a real Valkey: everybody hears once, and nobody is left with a gap unawares."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from infrastructure.chat_feed.event import ChatEvent
from infrastructure.chat_feed.memory import MemoryChatFeed
from infrastructure.chat_feed.redis import MAX_UNSAID, RedisChatFeed
from infrastructure.errors import RateLimited, ShuttingDown
from infrastructure.redis.link import RedisLink
from tests.valkey import valkey_server

CHAT, OTHER = "chat", "other"
WAIT = 30  # seconds: far longer than anything takes


class Worker:
    """A feed over a link of its own, which looks for Redis again at once."""

    def __init__(self, url: str, prefix: str, *, timeout: float = 5.0, silence: float = 10.0) -> None:
        self.link = RedisLink(url, prefix=prefix, timeout=timeout, probe_seconds=0.02)
        self.local = MemoryChatFeed(max_per_chat=3)
        self.feed = RedisChatFeed(
            self.link, self.local, clock=lambda: 12.5, join_seconds=WAIT, silence_seconds=silence, retry_seconds=0.02
        )

    async def open(self) -> None:
        await self.link.open()
        self.feed.open()

    async def aclose(self) -> None:
        await self.feed.aclose()
        await self.link.aclose()

    async def knows(self, available: bool) -> None:
        known = asyncio.Event()
        self.link.listen(lambda now: known.set() if now is available else None)
        if self.link.available is not available:
            await asyncio.wait_for(known.wait(), WAIT)


@asynccontextmanager
async def workers(url: str, count: int = 2, **options: float) -> AsyncIterator[list[Worker]]:
    prefix = f"test:{uuid4().hex}:"
    found = [Worker(url, prefix, **options) for _ in range(count)]
    for worker in found:
        await worker.open()
    yield found
    for worker in found:
        await worker.aclose()


@pytest.fixture
async def pair(redis_url: str) -> AsyncIterator[list[Worker]]:
    async with workers(redis_url) as found:
        yield found


async def next_of(events: AsyncIterator[ChatEvent]) -> ChatEvent:
    return await asyncio.wait_for(anext(events), WAIT)


async def rest(events: AsyncIterator[ChatEvent]) -> list[str]:
    """The types of the events until their end."""
    async with asyncio.timeout(WAIT):
        return [event.type async for event in events]


async def test_what_happens_at_one_worker_is_heard_at_all_in_order_and_once(pair: list[Worker]) -> None:
    one, two = pair
    async with one.feed.subscribe(CHAT) as here, two.feed.subscribe(CHAT) as there, two.feed.subscribe(CHAT) as too:
        for number in range(500):
            one.feed.publish(CHAT, str(number), {"number": number})
        two.feed.publish(CHAT, "from two", {})
        for events in (here, there, too):
            heard = [await next_of(events) for _ in range(501)]
            assert [event for event in heard if event.type != "from two"] == [
                ChatEvent(str(number), CHAT, {"number": number}, 12.5) for number in range(500)
            ]


async def test_those_who_listen_where_it_happens_are_told_at_once(pair: list[Worker]) -> None:
    one, _ = pair
    async with one.feed.subscribe(CHAT) as events:
        one.feed.publish(CHAT, "now", {})
        events.end()
        assert [event.type async for event in events] == ["now"]


async def test_times_are_said_elsewhere_as_a_client_would_read_them(pair: list[Worker]) -> None:
    one, two = pair
    async with two.feed.subscribe(CHAT) as events:
        one.feed.publish(CHAT, "at", {"at": datetime(2024, 1, 2, tzinfo=UTC)})
        assert (await next_of(events)).data == {"at": "2024-01-02T00:00:00Z"}


async def test_what_happens_in_another_chat_is_not_even_sent_here(pair: list[Worker]) -> None:
    one, two = pair
    async with two.feed.subscribe(CHAT) as events:
        one.feed.publish(OTHER, "foreign", {})
        one.feed.publish(CHAT, "own", {})
        assert (await next_of(events)).type == "own"
        heard = await one.link.client.pubsub_channels(f"{one.link.prefix}*")
        assert set(heard) == {f"{one.link.prefix}chat:{CHAT}".encode(), f"{one.link.prefix}chats".encode()}


async def test_those_who_come_and_go_in_a_hurry_hear_what_follows(pair: list[Worker]) -> None:
    one, two = pair
    for number in range(50):
        hurried = [asyncio.ensure_future(two.feed.subscribe(CHAT).__aenter__()) for _ in range(3)]
        await asyncio.sleep(0)
        for task in hurried[: number % 4]:
            task.cancel()
        await asyncio.gather(*hurried, return_exceptions=True)
        del hurried
        async with two.feed.subscribe(CHAT) as events:
            one.feed.publish(CHAT, str(number), {})
            assert (await next_of(events)).type == str(number)
            assert not events.behind
    async with two.feed.subscribe(CHAT):
        assert await one.link.client.pubsub_numsub(f"{one.link.prefix}chat:{CHAT}") == [
            (f"{one.link.prefix}chat:{CHAT}".encode(), 1)
        ]


async def test_whether_anyone_listens_elsewhere_is_not_known(pair: list[Worker]) -> None:
    assert pair[0].feed.listened(CHAT)


async def test_the_bounds_and_the_end_are_those_of_the_local_feed(pair: list[Worker]) -> None:
    one, two = pair
    async with one.feed.subscribe(CHAT), one.feed.subscribe(CHAT), one.feed.subscribe(CHAT) as last:
        with pytest.raises(RateLimited):
            await one.feed.subscribe(CHAT).__aenter__()
        one.feed.close()
        assert (await rest(last), last.behind) == ([], False)
        with pytest.raises(ShuttingDown):
            await one.feed.subscribe(CHAT).__aenter__()
    async with two.feed.subscribe(CHAT) as events:
        one.feed.publish(CHAT, "last words", {})
        await one.feed.aclose()
        assert (await next_of(events)).type == "last words"


async def test_a_message_that_is_none_of_ours_is_passed_over(pair: list[Worker]) -> None:
    one, two = pair
    async with two.feed.subscribe(CHAT) as events:
        with capture_logs() as logs:
            for foreign in (b"?" * 40, b"?" * 32 + b"[1]", b"?" * 32 + b'{"a":1,"b":2,"c":3}'):
                await one.link.client.publish(f"{one.link.prefix}chat:{CHAT}", foreign)
            one.feed.publish(CHAT, "ours", {})
            assert (await next_of(events)).type == "ours"
        assert len(logs) == 3


async def test_a_connection_that_breaks_ends_those_who_heard_over_it_and_the_next_stands(pair: list[Worker]) -> None:
    one, two = pair
    async with two.feed.subscribe(CHAT) as events, two.feed.subscribe(OTHER) as others:
        one.feed.publish(CHAT, "before", {})
        assert (await next_of(events)).type == "before"
        await one.link.client.client_kill_filter(_type="pubsub")
        assert (await rest(events), events.behind) == ([], True)
        assert (await rest(others), others.behind) == ([], True)
        async with two.feed.subscribe(CHAT) as again:
            one.feed.publish(CHAT, "after", {})
            assert (await next_of(again)).type == "after"
            assert not again.behind


async def test_while_redis_is_away_the_local_ones_go_on_and_all_read_anew_when_it_is_back() -> None:
    server = valkey_server()
    port = server.port
    async with workers(f"{server.connection_url}/0") as (one, two):
        async with two.feed.subscribe(CHAT) as before:
            server.stop()
            assert await rest(before) == []
            assert before.behind
        await two.knows(False)
        async with two.feed.subscribe(CHAT) as meanwhile:
            two.feed.publish(CHAT, "local", {})
            one.feed.publish(CHAT, "far", {})
            assert (await next_of(meanwhile)).type == "local"
            server = valkey_server(port)
            assert await rest(meanwhile) == []
            assert meanwhile.behind, "it may have missed something, and has"
        await heard_again(one, two)
    server.stop()


async def heard_again(one: Worker, two: Worker) -> None:
    """Whoever listens now hears. One who came before the loss was told may be let go once more."""
    await one.knows(True)
    await two.knows(True)
    async with asyncio.timeout(WAIT):
        while True:
            async with two.feed.subscribe(CHAT) as events:
                one.feed.publish(CHAT, "again", {})
                async for event in events:
                    assert event.type == "again"
                    return


async def test_what_one_worker_could_not_say_lets_those_go_who_listen_at_another(pair: list[Worker]) -> None:
    one, two = pair
    async with two.feed.subscribe(CHAT) as concerned, two.feed.subscribe(OTHER) as others:
        one.link.lost(TimeoutError())
        one.feed.publish(CHAT, "unheard", {})
        assert (await rest(concerned), concerned.behind) == ([], True)
        one.feed.publish(OTHER, "heard", {})
        assert (await next_of(others)).type == "heard"


async def test_too_many_that_could_not_be_told_of_are_all(pair: list[Worker]) -> None:
    one, two = pair
    async with two.feed.subscribe(CHAT) as events:
        one.link.lost(TimeoutError())
        for number in range(MAX_UNSAID + 2):
            one.feed.publish(f"chat-{number}", "unheard", {})
        assert len(one.feed._unsaid) == 1
        assert (await rest(events), events.behind) == ([], True)


async def test_a_queue_that_is_full_is_a_loss_that_is_told() -> None:
    server = valkey_server()
    async with workers(f"{server.connection_url}/0") as (one, two), two.feed.subscribe(CHAT) as events:
        for number in range(1100):  # nothing is sent before this returns to the loop
            one.feed.publish(CHAT, str(number), {})
        assert len(one.feed._waiting) == 1000
        assert (await rest(events), events.behind) == ([], True)
    server.stop()


async def test_a_server_that_falls_silent_is_left_and_its_listeners_read_anew() -> None:
    server = valkey_server()
    pid = server._process.pid
    async with workers(f"{server.connection_url}/0", silence=0.1, timeout=0.3) as (one, two):
        async with two.feed.subscribe(CHAT) as events:
            os.kill(pid, signal.SIGSTOP)
            try:
                one.feed.publish(CHAT, "into the void", {})
                await one.knows(False)
                assert (await rest(events), events.behind) == ([], True)
            finally:
                os.kill(pid, signal.SIGCONT)
        await heard_again(one, two)
    server.stop()


async def test_a_silence_in_which_the_server_answers_ends_nothing(redis_url: str) -> None:
    async with workers(redis_url, silence=0.3) as (one, two), two.feed.subscribe(CHAT) as events:
        async with asyncio.timeout(WAIT), one.link.client.monitor() as monitor:
            pings = 0
            async for command in monitor.listen():
                pings += command["command"] == "PING"
                if pings == 4:
                    break
        one.feed.publish(CHAT, "still", {})
        assert (await next_of(events)).type == "still"


async def test_a_worker_that_starts_without_redis_joins_when_it_comes() -> None:
    server = valkey_server()
    port, url = server.port, server.connection_url
    server.stop()
    async with workers(f"{url}/0") as (one, two):
        async with two.feed.subscribe(CHAT) as early:
            server = valkey_server(port)
            assert await rest(early) == []
            assert early.behind
        await heard_again(one, two)
    server.stop()
