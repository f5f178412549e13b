"""Whoever reads, whenever, gets every frame once, in order, or is told what is gone: from either log."""

import asyncio
from contextlib import aclosing
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infrastructure.errors import NotFound
from infrastructure.event_log.entry import Batch, Gap
from infrastructure.event_log.run_log import ENTRY_OVERHEAD_BYTES
from tests.infrastructure.event_log.workers import (
    RUN,
    Log,
    MakeLog,
    assert_replay,
    entry,
    read_all,
    say,
    seqs,
    texts,
    word,
    words,
)


class Time:
    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def said(seq: int) -> str:
    return f"w{seq} "


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    appends=st.lists(st.integers(0, 4), min_size=1, max_size=40),
    readers=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 3)), max_size=6),
    restarts=st.sets(st.integers(1, 40), max_size=2),
)
@pytest.mark.parametrize("max_frames", [1, 7, 60])
async def test_each_reader_gets_exactly_what_follows_its_cut(
    make: MakeLog,
    max_frames: int,
    appends: list[int],
    readers: list[tuple[int, int, int]],
    restarts: set[int],
) -> None:
    """`appends`: turns of the loop before each frame. `readers`: when each begins, behind which frame, and how many
    turns it takes over each batch. `restarts`: frames that begin the answer anew."""
    if not hasattr(make, "log"):
        make.log = await make(max_run_bytes=max_frames * (10 + ENTRY_OVERHEAD_BYTES))  # type: ignore[attr-defined]
    log: Log = make.log  # type: ignore[attr-defined]
    run_id = str(uuid4())
    last = len(appends)
    log.open(run_id, "ada")

    async def write() -> None:
        for seq, turns in enumerate(appends, 1):
            for _ in range(turns):
                await asyncio.sleep(0)
            log.append(run_id, entry(seq, said(seq), terminal=seq == last, restart=seq in restarts))

    async def follow(start: int, after: int, slowness: int) -> tuple[int, list[Batch]]:
        for _ in range(start):
            await asyncio.sleep(0)
        after = min(after, last)
        batches = []
        async for batch in log.read(run_id, after):
            batches.append(batch)
            for _ in range(slowness):
                await asyncio.sleep(0)
        return after, batches

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        following = [group.create_task(follow(*reader)) for reader in readers]
    await log.settle(run_id)
    for task in following:
        after, batches = task.result()
        assert_replay(batches, after, last, said, restarts)
    begun = max((seq for seq in restarts if seq <= last), default=1)
    assert log.answer(run_id) == "".join(said(seq) for seq in range(begun, last + 1))


async def test_frames_that_wait_come_in_one_batch_and_live_ones_as_they_are_written(log: Log) -> None:
    await say(log, word(1), word(2))
    async with aclosing(log.read(RUN)) as reader:
        assert seqs([await anext(reader)]) == [1, 2]
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        assert not waiting.done()
        log.append(RUN, word(3))
        assert seqs([await waiting]) == [3]


async def test_a_reader_that_missed_some_gets_them_all_at_once(log: Log) -> None:
    await say(log, word(1))
    async with aclosing(log.read(RUN)) as reader:
        await anext(reader)
        await say(log, *words(2, 4))
        assert seqs([await anext(reader)]) == [2, 3, 4]


async def test_a_run_that_is_over_is_read_to_its_end_and_no_further(log: Log) -> None:
    await say(log, word(1), entry(2, terminal=True))
    assert seqs(await read_all(log)) == [1, 2]
    assert seqs(await read_all(log, after=1)) == [2]
    assert await read_all(log, after=2) == []
    assert await read_all(log, after=99) == []


async def test_a_cut_before_the_beginning_is_the_beginning(log: Log) -> None:
    await say(log, entry(1, terminal=True))
    [batch] = await read_all(log, after=-5)
    assert batch.gap is None
    assert seqs([batch]) == [1]


async def test_what_outgrew_the_run_is_a_gap_with_the_answer_up_to_there(make: MakeLog) -> None:
    log = await make(max_run_bytes=3 * (10 + ENTRY_OVERHEAD_BYTES))
    await say(log, *words(1, 10), entry(11, terminal=True))
    whole = "".join(f"word{seq} " for seq in range(1, 11))
    [batch] = await read_all(log)
    assert batch.gap == Gap(1, 8, "".join(f"word{seq} " for seq in range(1, 9)))
    assert batch.gap.answer + texts([batch]) == whole == log.answer(RUN)
    [batch] = await read_all(log, after=5)
    assert batch.gap is not None
    assert (batch.gap.first, batch.gap.last) == (6, 8)
    [batch] = await read_all(log, after=8)
    assert batch.gap is None
    assert seqs([batch]) == [9, 10, 11]


async def test_the_bytes_of_a_run_stay_within_their_bound(make: MakeLog) -> None:
    bound = 5000
    log = await make(max_run_bytes=bound)
    for seq in range(1, 200):
        await say(log, entry(seq, "x", size=seq % 70 + 10))
        assert log.held_bytes <= bound
    assert log.answer(RUN) == "x" * 199


async def test_a_frame_larger_than_the_bound_is_held_alone(make: MakeLog) -> None:
    log = await make(max_run_bytes=300)
    await say(log, word(1), entry(2, "big", size=10_000))
    async with aclosing(log.read(RUN)) as reader:
        batch = await anext(reader)
    assert batch.gap == Gap(1, 1, "word1 ")
    assert seqs([batch]) == [2]


async def test_what_was_said_before_the_answer_began_anew_counts_no_more(make: MakeLog) -> None:
    log = await make(max_run_bytes=3 * (10 + ENTRY_OVERHEAD_BYTES))
    await say(log, word(1), word(2), entry(3, restart=True), word(4))
    assert log.answer(RUN) == "word4 "
    [batch] = [await anext(log.read(RUN))]
    assert batch.gap == Gap(1, 1, "word1 ")
    await say(log, word(5), word(6), word(7))
    [batch] = [await anext(log.read(RUN))]
    assert batch.gap == Gap(1, 4, "word4 ")
    assert log.answer(RUN) == "word4 word5 word6 word7 "


@pytest.mark.parametrize("seq", [0, 1, 3])
async def test_a_frame_out_of_line_is_refused(log: Log, seq: int) -> None:
    log.append(RUN, word(1))
    with pytest.raises(ValueError, match="does not follow"):
        log.append(RUN, word(seq))
    await log.settle(RUN)
    assert log.last_seq(RUN) == 1


async def test_a_first_frame_out_of_line_begins_no_run(log: Log) -> None:
    with pytest.raises(ValueError, match="does not follow"):
        log.append(RUN, word(2))
    with pytest.raises(NotFound):
        log.owner(RUN)


@pytest.mark.parametrize("delivered", [True, False])
async def test_nothing_follows_a_terminal_frame(log: Log, delivered: bool) -> None:
    log.append(RUN, entry(1, terminal=True))
    if delivered:
        await log.settle(RUN)
    with pytest.raises(ValueError, match="does not follow"):
        log.append(RUN, word(2))
    with pytest.raises(ValueError, match="has begun"):
        log.open(RUN, "ada")


async def test_an_unknown_run_is_not_found(log: Log) -> None:
    with pytest.raises(NotFound):
        await read_all(log)
    with pytest.raises(NotFound):
        await log.terminal(RUN)
    with pytest.raises(NotFound):
        log.tail(RUN, 0, lambda _: None)
    for name in (RUN, "run:log", "no such run", "", "x" * 65):
        with pytest.raises(NotFound):
            await log.find(name)
        with pytest.raises(NotFound):
            await log.take_over(name, 2)
    with pytest.raises(NotFound):
        log.answer(RUN)
    with pytest.raises(NotFound):
        log.owner(RUN)
    assert log.last_seq(RUN) == 0


async def test_a_run_belongs_to_whoever_it_was_opened_for(log: Log) -> None:
    log.open(RUN, "ada")
    await say(log, word(1))
    assert log.owner(RUN) == await log.find(RUN) == "ada"
    with pytest.raises(ValueError, match="has begun"):
        log.open(RUN, "somebody else")
    await say(log, word(1), run_id="nobodys")
    assert log.owner("nobodys") is None


async def test_a_run_that_goes_on_behind_a_frame_begins_with_a_gap_when_there_is_more(log: Log) -> None:
    log.open(RUN, "ada", seq=7, answer="so far ")
    assert (log.last_seq(RUN), log.answer(RUN)) == (7, "so far ")
    async with aclosing(log.read(RUN, 2)) as reader:
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        assert not waiting.done()
        await say(log, word(8))
        batch = await waiting
    assert (batch.gap, seqs([batch])) == (Gap(3, 7, "so far "), [8])
    assert log.answer(RUN) == "so far word8 "


async def test_an_ended_run_is_restored_as_a_gap_its_text_and_its_last_frame(log: Log) -> None:
    log.restore(RUN, "ada", "the answer", entry(9, terminal=True))
    [batch] = await read_all(log)
    assert (batch.gap, seqs([batch])) == (Gap(1, 8, "the answer"), [9])
    assert (log.owner(RUN), log.answer(RUN), log.last_seq(RUN)) == ("ada", "the answer", 9)
    log.restore(RUN, "eve", "another", entry(3, terminal=True))
    assert log.owner(RUN) == "ada", "what is here is not replaced"


async def test_whoever_waits_for_the_end_gets_the_last_frame(log: Log) -> None:
    await say(log, word(1))
    waiting = asyncio.ensure_future(log.terminal(RUN))
    await asyncio.sleep(0)
    await say(log, word(2))
    assert not waiting.done()
    await say(log, entry(3, terminal=True))
    assert (await waiting).seq == 3
    assert (await log.terminal(RUN)).seq == 3


async def test_a_reader_that_leaves_as_it_is_woken_disturbs_nobody(log: Log) -> None:
    await say(log, word(1))
    leaving = asyncio.ensure_future(read_all(log, after=1))
    staying = asyncio.ensure_future(read_all(log, after=1))
    await asyncio.sleep(0)
    log.append(RUN, entry(2, terminal=True))
    leaving.cancel()
    assert seqs(await staying) == [2]
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_a_finished_run_goes_down_to_its_last_frame_when_its_time_is_over(make: MakeLog) -> None:
    clock = Time()
    log = await make(ttl_seconds=60, memory_seconds=600, monotonic=clock)
    await say(log, word(1), entry(2, terminal=True))
    log.expire()
    assert seqs(await read_all(log)) == [1, 2]
    clock.now = 60.0
    log.expire()
    [batch] = await read_all(log)
    assert batch.gap == Gap(1, 1, "word1 ")
    assert seqs([batch]) == [2]
    assert log.answer(RUN) == "word1 "
    assert (await log.terminal(RUN)).seq == 2
    clock.now = 600.0
    log.expire()
    assert log.held_runs == log.held_bytes == 0
    with pytest.raises(NotFound):
        await read_all(log)


async def test_a_reader_behind_a_run_that_is_forgotten_still_gets_its_end(make: MakeLog) -> None:
    clock = Time()
    log = await make(ttl_seconds=60, memory_seconds=600, monotonic=clock)
    await say(log, word(1))
    async with aclosing(log.read(RUN)) as reader:
        await anext(reader)
        await say(log, entry(2, terminal=True))
        clock.now = 600.0
        log.expire()
        assert seqs([await anext(reader)]) == [2]
        with pytest.raises(StopAsyncIteration):
            await anext(reader)


async def test_finished_runs_give_way_when_the_room_is_over_the_oldest_first(make: MakeLog) -> None:
    frame = 10 + ENTRY_OVERHEAD_BYTES
    log = await make(max_bytes=5 * frame)
    for run in ("a", "b", "c"):
        await say(log, word(1), entry(2, terminal=True), run_id=run)
    assert [len(seqs(await read_all(log, run_id=run))) for run in ("a", "b", "c")] == [1, 2, 2]


async def test_no_more_runs_are_remembered_than_allowed_but_one_under_way_is_not_lost(make: MakeLog) -> None:
    log = await make(max_runs=2)
    await say(log, word(1), run_id="live")
    for run in ("a", "b", "c"):
        await say(log, entry(1, terminal=True), run_id=run)
    assert log.last_seq("live") == 1
    await say(log, entry(2, terminal=True), run_id="live")
    assert log.held_runs == 2
    assert [log.last_seq(run) for run in ("live", "a", "b", "c")] == [0, 0, 1, 1]
