"""Two workers on one Valkey: each reads what the other writes, and goes on with what it began."""

import asyncio
import random
from contextlib import aclosing
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from infrastructure.errors import NotFound
from infrastructure.event_log.entry import Batch, Entry
from infrastructure.event_log.mirrors import UNREAD_SECONDS
from infrastructure.event_log.redis import RedisEventLog
from infrastructure.event_log.run_log import ENTRY_OVERHEAD_BYTES
from infrastructure.event_log.stored import keys
from infrastructure.redis.link import MAX_CONNECTIONS
from tests.infrastructure.event_log.workers import (
    RUN,
    assert_replay,
    entry,
    read_all,
    said,
    say,
    seqs,
    texts,
    until,
    word,
    words,
    worker,
)


async def test_what_one_worker_writes_another_finds_reads_and_follows_to_its_end(redis_url: str, prefix: str) -> None:
    async with worker(redis_url, prefix) as a, worker(redis_url, prefix) as b:
        a.log.open(RUN, "ada")
        await say(a.log, word(1), word(2))
        assert await b.log.find(RUN) == "ada"
        reading = asyncio.ensure_future(read_all(b.log, after=1))
        ending = asyncio.ensure_future(b.log.terminal(RUN))
        await asyncio.sleep(0)
        for seq in (3, 4):
            await say(a.log, word(seq))
            await until(lambda seq=seq: b.log.last_seq(RUN) == seq)
        assert (b.log.followed, a.log.followed) == ([RUN], [])
        await say(a.log, entry(5, terminal=True))
        assert (await ending).seq == 5
        assert seqs(await reading) == [2, 3, 4, 5]
        assert b.log.answer(RUN) == "word1 word2 word3 word4 "
        assert (b.log.owner(RUN), b.log.followed) == ("ada", [])


async def test_who_reads_anothers_run_at_a_worker_that_ends_is_sent_away(redis_url: str, prefix: str) -> None:
    async with worker(redis_url, prefix) as a, worker(redis_url, prefix) as b:
        for log, run_id in ((a.log, RUN), (b.log, "own")):
            log.open(run_id, None)
            await say(log, word(1), run_id=run_id)
        await b.log.find(RUN)
        reading, own = asyncio.ensure_future(read_all(b.log)), asyncio.ensure_future(read_all(b.log, run_id="own"))
        await asyncio.sleep(0)
        b.log.leave_followed()
        assert seqs(await reading) == [1]
        assert not own.done()
        await say(b.log, entry(2, terminal=True), run_id="own")
        assert seqs(await own) == [1, 2]


async def test_a_run_that_has_ended_is_found_with_all_its_frames(redis_url: str, prefix: str) -> None:
    async with worker(redis_url, prefix) as a, worker(redis_url, prefix, ttl_seconds=60) as b:
        await say(b.log, word(1), entry(2, terminal=True, restart=True))
        assert await a.log.find(RUN) is None
        [batch] = await read_all(a.log)
        assert batch.entries == (word(1), entry(2, terminal=True, restart=True))
        for key in keys(prefix, RUN):
            assert 0 < await b.link.client.pttl(key) <= 60_000


async def test_a_tail_hears_frames_of_another_worker_one_by_one(redis_url: str, prefix: str) -> None:
    async with worker(redis_url, prefix) as a, worker(redis_url, prefix) as b:
        await say(a.log, word(1))
        await b.log.find(RUN)
        heard: list[Entry] = []
        assert b.log.tail(RUN, 1, heard.append) is not None
        await say(a.log, *words(2, 20), entry(21, terminal=True))
        await b.log.terminal(RUN)
        assert heard == [*words(2, 20), entry(21, terminal=True)]


async def test_no_frame_is_shown_before_redis_has_it(
    redis_url: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int] = []
    async with worker(redis_url, prefix) as a:
        send = a.log._sender._line.call

        async def call(*command: Any) -> Any:
            shown.append(a.log.last_seq(RUN))
            reply = await send(*command)
            if len(shown) < 4:
                a.log.append(RUN, word(len(shown) + 1))
            return reply

        monkeypatch.setattr(a.log._sender._line, "call", call)
        await say(a.log, word(1))
        await until(lambda: a.log.last_seq(RUN) == 4)
        assert shown[-4:] == [0, 1, 2, 3]


async def test_frames_that_wait_for_one_call_share_the_next(redis_url: str, prefix: str) -> None:
    calls: list[int] = []
    async with worker(redis_url, prefix, on_batch=lambda frames, seconds: calls.append(frames)) as a:
        for run in ("one", "other"):
            for one in words(1, 50):
                a.log.append(run, one)
        await a.log.settle("one")
        await a.log.settle("other")
    assert sum(calls) == 100
    assert len(calls) <= 3


@pytest.mark.parametrize("max_frames", [3, 60])
async def test_readers_that_change_workers_get_every_frame_once(redis_url: str, prefix: str, max_frames: int) -> None:
    chance = random.Random(max_frames)
    options: dict[str, Any] = {"max_run_bytes": max_frames * (10 + ENTRY_OVERHEAD_BYTES)}
    async with worker(redis_url, prefix, **options) as a, worker(redis_url, prefix, **options) as b:
        runs = {str(uuid4()): chance.randrange(1, 80) for _ in range(20)}

        async def write(run_id: str, last: int) -> None:
            for seq in range(1, last + 1):
                await asyncio.sleep(chance.choice((0, 0, 0, 0.001)))
                a.log.append(run_id, entry(seq, said(seq), terminal=seq == last))

        async def follow(run_id: str, last: int) -> list[tuple[int, list[Batch], int]]:
            """Parts of a run, each with where it began and where it was left."""
            after, parts = 0, []
            while after < last:
                log = chance.choice((a.log, b.log))
                await until_found(log, run_id)
                batches: list[Batch] = []
                begun, stay = after, chance.randrange(1, 6)
                async with aclosing(log.read(run_id, after)) as reader:
                    async for batch in reader:
                        batches.append(batch)
                        after = batch.entries[-1].seq
                        stay -= 1
                        if not stay:
                            break
                        await asyncio.sleep(chance.choice((0, 0.001)))
                parts.append((begun, batches, after))
            return parts

        async with asyncio.TaskGroup() as group:
            for run_id, last in runs.items():
                a.log.open(run_id, "ada")
                group.create_task(write(run_id, last))
            following = [
                (last, group.create_task(follow(run_id, last))) for run_id, last in runs.items() for _ in range(3)
            ]
        for last, task in following:
            parts = task.result()
            for begun, batches, left in parts:
                assert_replay(batches, begun, left, said)
            assert parts[-1][2] == last
            assert parts[-1][1][-1].entries[-1].terminal


async def until_found(log: RedisEventLog, run_id: str) -> None:
    while True:
        try:
            await log.find(run_id)
        except NotFound:
            await asyncio.sleep(0.001)
        else:
            return


async def test_what_redis_has_of_a_run_is_bounded_and_its_beginning_is_told_as_text(
    redis_url: str, prefix: str
) -> None:
    async with worker(redis_url, prefix, max_run_bytes=2000) as a, worker(redis_url, prefix) as b:
        for seq in range(1, 101):
            await say(a.log, entry(seq, said(seq), restart=seq == 40, size=50))
        assert 2 < await a.link.client.xlen(keys(prefix, RUN)[1]) < 20
        await b.log.find(RUN)
        assert b.log.answer(RUN) == a.log.answer(RUN) == "".join(said(seq) for seq in range(40, 101))
        [batch] = [await anext(b.log.read(RUN))]
        assert batch.gap is not None
        assert batch.gap.answer + texts([batch]) == b.log.answer(RUN)
        assert batch.entries[-1].seq == 100


async def test_a_mirror_that_is_behind_what_redis_still_has_tells_a_gap(redis_url: str, prefix: str) -> None:
    """Its stream was taken from under it: what was trimmed meanwhile it cannot have."""
    async with worker(redis_url, prefix, max_run_bytes=1000) as a, worker(redis_url, prefix) as b:
        await say(a.log, word(1))
        await b.log.find(RUN)
        reading = asyncio.ensure_future(read_all(b.log))
        tailed: list[int] = []
        assert b.log.tail(RUN, 1, lambda one: tailed.append(one.seq)) is not None
        b.streams.leave(keys(prefix, RUN)[1])
        for seq in range(2, 40):
            await say(a.log, entry(seq, said(seq), size=50))
        b.streams.follow(
            keys(prefix, RUN)[1], lambda items: b.log._mirrors._hear(RUN, items), b"1-0"
        )  # as if it had been slow
        with capture_logs() as logs:
            await say(a.log, entry(40, terminal=True))
            batches = await reading
        assert [line for line in logs if line["log_level"] == "error"] == []
        assert seqs(batches)[-1] == 40
        assert [batch.gap for batch in batches if batch.gap] != []
        assert_replay(batches, 0, 40, lambda seq: said(seq) if seq < 40 else "")
        assert tailed[0] > 2


async def test_a_mirror_makes_room_for_what_the_store_knows_of_the_runs_end(redis_url: str, prefix: str) -> None:
    async with worker(redis_url, prefix) as a, worker(redis_url, prefix) as b:
        await say(a.log, word(1), word(2))
        await b.log.find(RUN)
        reading = asyncio.ensure_future(read_all(b.log))
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="does not follow"):
            b.log.append(RUN, word(3))
        b.log.restore(RUN, None, "word1 word2 word3 ", entry(4, terminal=True))
        batches = await reading
        assert (seqs(batches), b.log.followed) == ([1, 2, 4], [])
        assert b.log.answer(RUN) == "word1 word2 word3 "


async def test_a_mirror_that_nobody_reads_is_dropped_and_found_anew(redis_url: str, prefix: str) -> None:
    now = 0.0
    async with worker(redis_url, prefix) as a, worker(redis_url, prefix, monotonic=lambda: now) as b:
        await say(a.log, word(1), run_id="read")
        await say(a.log, word(1), run_id="unread")
        for run_id in ("read", "unread"):
            await b.log.find(run_id)
        async with aclosing(b.log.read("read")) as reader:
            await anext(reader)
            now = UNREAD_SECONDS + 1
            b.log._mirrors.drop_unread()
            assert b.log.followed == ["read"]
            with pytest.raises(NotFound):
                b.log.owner("unread")
            await b.log.find("unread")
            assert b.log.last_seq("unread") == 1


async def test_what_was_appended_as_a_worker_ends_is_sent(redis_url: str, prefix: str) -> None:
    async with worker(redis_url, prefix) as b:
        async with worker(redis_url, prefix) as a:
            for one in words(1, 5):
                a.log.append(RUN, one)
        a.log.append(RUN, word(6))
        assert a.log.last_seq(RUN) == 6, "behind its end it is a log of its own"
        await b.log.find(RUN)
        assert b.log.last_seq(RUN) == 5


async def test_an_end_from_the_store_with_fewer_frames_than_were_read_here_is_an_end(
    redis_url: str, prefix: str
) -> None:
    async with worker(redis_url, prefix) as a, worker(redis_url, prefix) as b:
        await say(a.log, *words(1, 5))
        await b.log.find(RUN)
        reading = asyncio.ensure_future(read_all(b.log))
        ending = asyncio.ensure_future(b.log.terminal(RUN))
        await asyncio.sleep(0)
        b.log.restore(RUN, None, "another answer", entry(2, terminal=True))
        assert seqs(await reading) == [1, 2, 3, 4, 5]
        assert (await ending).seq == 2
        assert b.log.answer(RUN) == "another answer"


async def test_what_cannot_be_sent_for_no_fault_of_redis_is_delivered_here(
    redis_url: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*command: object) -> None:
        raise ValueError("secret")

    async with worker(redis_url, prefix) as a, worker(redis_url, prefix) as b:
        with monkeypatch.context() as broken, capture_logs() as logs:
            broken.setattr(a.log._sender._line, "call", fail)
            await say(a.log, word(1), word(2))
        assert [line["error"] for line in logs] == ["ValueError"]
        assert a.log.last_seq(RUN) == 2
        await say(a.log, word(3))
        await b.log.find(RUN)
        assert b.log.last_seq(RUN) == 3


async def test_many_who_come_for_runs_at_once_are_all_served(redis_url: str, prefix: str) -> None:
    """More than there are connections to Redis: clients that come back after a restart."""
    names = [f"run-{number}" for number in range(3 * MAX_CONNECTIONS)]
    async with worker(redis_url, prefix) as a, worker(redis_url, prefix) as b:
        for name in names:
            a.log.append(name, entry(1, terminal=True))
        for name in names:
            await a.log.settle(name)
        await asyncio.gather(*(b.log.find(name) for name in names), *(b.log.find(name) for name in names))
        assert b.link.available
        assert all(b.log.last_seq(name) == 1 for name in names)


async def test_a_look_that_fails_is_not_the_last_one(
    redis_url: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with worker(redis_url, prefix) as a:
        looked = asyncio.Queue[bool]()

        async def look() -> None:
            looked.put_nowait(True)
            raise ValueError("secret")

        monkeypatch.setattr(a.log._watch, "look", look)
        with capture_logs() as logs:
            for _ in range(2):
                a.log._mirrors.in_doubt.set()
                assert await looked.get()
        assert [line["error"] for line in logs][:1] == ["ValueError"]
