"""The event log in memory: whoever reads, whenever, gets every frame once, in order, or is told what is gone."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infrastructure.errors import NotFound
from infrastructure.event_log.entry import Batch, Entry, Gap
from infrastructure.event_log.memory import ENTRY_OVERHEAD_BYTES, MemoryEventLog

RUN = "run"


def entry(seq: int, text: str = "", terminal: bool = False, size: int = 10) -> Entry:
    return Entry(seq, f"{seq}".encode().ljust(size, b"."), text, terminal)


def word(seq: int) -> Entry:
    return entry(seq, f"word{seq} ")


class Time:
    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


async def read_all(log: MemoryEventLog, after: int = 0, run_id: str = RUN) -> list[Batch]:
    return [batch async for batch in log.read(run_id, after)]


def seqs(batches: list[Batch]) -> list[int]:
    return [one.seq for batch in batches for one in batch.entries]


def texts(batches: list[Batch]) -> str:
    return "".join(one.text for batch in batches for one in batch.entries)


@settings(max_examples=150, deadline=None)
@given(
    appends=st.lists(st.integers(0, 4), min_size=1, max_size=40),
    readers=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 3)), max_size=6),
    max_frames=st.integers(1, 60),
)
async def test_each_reader_gets_exactly_what_follows_its_cut(
    appends: list[int], readers: list[tuple[int, int, int]], max_frames: int
) -> None:
    """`appends`: turns of the loop before each frame. `readers`: when each begins, behind which frame, and how many
    turns it takes over each batch."""
    log = MemoryEventLog(max_run_bytes=max_frames * (10 + ENTRY_OVERHEAD_BYTES))
    last = len(appends)
    begun = asyncio.Event()

    async def write() -> None:
        for seq, turns in enumerate(appends, 1):
            for _ in range(turns):
                await asyncio.sleep(0)
            log.append(RUN, entry(seq, f"w{seq} ", terminal=seq == last))
            begun.set()

    async def follow(start: int, after: int, slowness: int) -> tuple[int, list[Batch]]:
        await begun.wait()
        for _ in range(start):
            await asyncio.sleep(0)
        after = min(after, last)
        batches = []
        async for batch in log.read(RUN, after):
            batches.append(batch)
            for _ in range(slowness):
                await asyncio.sleep(0)
        return after, batches

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        following = [group.create_task(follow(*reader)) for reader in readers]
    whole = "".join(f"w{seq} " for seq in range(1, last + 1))
    for task in following:
        after, batches = task.result()
        assert_replay(batches, after, last, whole)


def assert_replay(batches: list[Batch], after: int, last: int, whole: str) -> None:
    """Dense numbers from `after` to `last`; at each gap the answer up to it, and behind it the rest."""
    have, answer = after, "".join(f"w{seq} " for seq in range(1, after + 1))
    for batch in batches:
        assert batch.entries, "no batch is empty"
        if batch.gap is not None:
            assert batch.gap.first == have + 1
            assert batch.gap.last >= batch.gap.first
            have, answer = batch.gap.last, batch.gap.answer
        assert [one.seq for one in batch.entries] == list(range(have + 1, have + 1 + len(batch.entries)))
        have += len(batch.entries)
        answer += "".join(one.text for one in batch.entries)
    assert have == last
    assert answer == whole


async def test_frames_that_wait_come_in_one_batch_and_live_ones_as_they_are_written() -> None:
    log = MemoryEventLog()
    log.append(RUN, word(1))
    log.append(RUN, word(2))
    async with aclosing(log.read(RUN)) as reader:
        assert seqs([await anext(reader)]) == [1, 2]
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        assert not waiting.done()
        log.append(RUN, word(3))
        assert seqs([await waiting]) == [3]


async def test_a_reader_that_missed_some_gets_them_all_at_once() -> None:
    log = MemoryEventLog()
    log.append(RUN, word(1))
    async with aclosing(log.read(RUN)) as reader:
        await anext(reader)
        for seq in (2, 3, 4):
            log.append(RUN, word(seq))
        assert seqs([await anext(reader)]) == [2, 3, 4]


async def test_a_run_that_is_over_is_read_to_its_end_and_no_further() -> None:
    log = MemoryEventLog()
    log.append(RUN, word(1))
    log.append(RUN, entry(2, terminal=True))
    assert seqs(await read_all(log)) == [1, 2]
    assert seqs(await read_all(log, after=1)) == [2]
    assert await read_all(log, after=2) == []
    assert await read_all(log, after=99) == []


async def test_a_cut_before_the_beginning_is_the_beginning() -> None:
    log = MemoryEventLog()
    log.append(RUN, entry(1, terminal=True))
    [batch] = await read_all(log, after=-5)
    assert batch.gap is None
    assert seqs([batch]) == [1]


async def test_what_outgrew_the_run_is_a_gap_with_the_answer_up_to_there() -> None:
    log = MemoryEventLog(max_run_bytes=3 * (10 + ENTRY_OVERHEAD_BYTES))
    for seq in range(1, 11):
        log.append(RUN, word(seq))
    log.append(RUN, entry(11, terminal=True))
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


async def test_the_bytes_of_a_run_stay_within_their_bound() -> None:
    bound = 5000
    log = MemoryEventLog(max_run_bytes=bound)
    for seq in range(1, 200):
        log.append(RUN, entry(seq, "x", size=seq % 70 + 10))
        assert log.held_bytes <= bound
    assert log.answer(RUN) == "x" * 199


async def test_a_frame_larger_than_the_bound_is_held_alone() -> None:
    log = MemoryEventLog(max_run_bytes=300)
    log.append(RUN, word(1))
    log.append(RUN, entry(2, "big", size=10_000))
    [batch] = [batch async for batch in _take(log, 1)]
    assert batch.gap == Gap(1, 1, "word1 ")
    assert seqs([batch]) == [2]


async def _take(log: MemoryEventLog, number: int) -> AsyncIterator[Batch]:
    async with aclosing(log.read(RUN)) as reader:
        for _ in range(number):
            yield await anext(reader)


@pytest.mark.parametrize("seq", [0, 1, 3])
async def test_a_frame_out_of_line_is_refused(seq: int) -> None:
    log = MemoryEventLog()
    log.append(RUN, word(1))
    with pytest.raises(ValueError, match="does not follow"):
        log.append(RUN, word(seq))
    assert log.last_seq(RUN) == 1


async def test_a_first_frame_out_of_line_begins_no_run() -> None:
    log = MemoryEventLog()
    with pytest.raises(ValueError, match="does not follow"):
        log.append(RUN, word(2))
    with pytest.raises(NotFound):
        log.owner(RUN)


async def test_nothing_follows_a_terminal_frame() -> None:
    log = MemoryEventLog()
    log.append(RUN, entry(1, terminal=True))
    with pytest.raises(ValueError, match="does not follow"):
        log.append(RUN, word(2))


async def test_an_unknown_run_is_not_found() -> None:
    log = MemoryEventLog()
    with pytest.raises(NotFound):
        await read_all(log)
    with pytest.raises(NotFound):
        await log.terminal(RUN)
    with pytest.raises(NotFound):
        log.answer(RUN)
    with pytest.raises(NotFound):
        log.owner(RUN)
    assert log.last_seq(RUN) == 0


async def test_a_run_belongs_to_whoever_it_was_opened_for() -> None:
    log = MemoryEventLog()
    log.open(RUN, "ada")
    log.append(RUN, word(1))
    assert log.owner(RUN) == "ada"
    with pytest.raises(ValueError, match="has begun"):
        log.open(RUN, "somebody else")
    log.append("nobodys", word(1))
    assert log.owner("nobodys") is None


async def test_an_ended_run_is_restored_as_a_gap_its_text_and_its_last_frame() -> None:
    log = MemoryEventLog()
    log.restore(RUN, "ada", "the answer", entry(9, terminal=True))
    [batch] = await read_all(log)
    assert (batch.gap, seqs([batch])) == (Gap(1, 8, "the answer"), [9])
    assert (log.owner(RUN), log.answer(RUN), log.last_seq(RUN)) == ("ada", "the answer", 9)
    log.restore(RUN, "eve", "another", entry(3, terminal=True))
    assert log.owner(RUN) == "ada", "what is here is not replaced"


async def test_whoever_waits_for_the_end_gets_the_last_frame() -> None:
    log = MemoryEventLog()
    log.append(RUN, word(1))
    waiting = asyncio.ensure_future(log.terminal(RUN))
    await asyncio.sleep(0)
    log.append(RUN, word(2))
    await asyncio.sleep(0)
    assert not waiting.done()
    log.append(RUN, entry(3, terminal=True))
    assert (await waiting).seq == 3
    assert (await log.terminal(RUN)).seq == 3


@pytest.mark.parametrize("way", ["read", "terminal"])
async def test_readers_that_come_and_go_leave_nothing_behind(way: str) -> None:
    log = MemoryEventLog()
    log.append(RUN, word(1))
    for _ in range(50):
        waiting = asyncio.ensure_future(read_all(log, after=1) if way == "read" else log.terminal(RUN))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    gc.collect()
    held = [one for one in gc.get_objects() if isinstance(one, asyncio.Future) and not isinstance(one, asyncio.Task)]
    assert len(held) < 10


async def test_a_reader_that_leaves_as_it_is_woken_disturbs_nobody() -> None:
    log = MemoryEventLog()
    log.append(RUN, word(1))
    leaving = asyncio.ensure_future(read_all(log, after=1))
    staying = asyncio.ensure_future(read_all(log, after=1))
    await asyncio.sleep(0)
    log.append(RUN, entry(2, terminal=True))
    leaving.cancel()
    assert seqs(await staying) == [2]
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_a_finished_run_goes_down_to_its_last_frame_when_its_time_is_over() -> None:
    clock = Time()
    log = MemoryEventLog(ttl_seconds=60, memory_seconds=600, monotonic=clock)
    log.append(RUN, word(1))
    log.append(RUN, entry(2, terminal=True))
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


async def test_a_reader_behind_a_run_that_is_forgotten_still_gets_its_end() -> None:
    clock = Time()
    log = MemoryEventLog(ttl_seconds=60, memory_seconds=600, monotonic=clock)
    log.append(RUN, word(1))
    async with aclosing(log.read(RUN)) as reader:
        await anext(reader)
        log.append(RUN, entry(2, terminal=True))
        clock.now = 600.0
        log.expire()
        assert seqs([await anext(reader)]) == [2]
        with pytest.raises(StopAsyncIteration):
            await anext(reader)


async def test_finished_runs_give_way_when_the_room_is_over_the_oldest_first() -> None:
    frame = 10 + ENTRY_OVERHEAD_BYTES
    log = MemoryEventLog(max_bytes=5 * frame)
    for run in ("a", "b", "c"):
        log.append(run, word(1))
        log.append(run, entry(2, terminal=True))
    assert [len(seqs(await read_all(log, run_id=run))) for run in ("a", "b", "c")] == [1, 2, 2]


async def test_no_more_runs_are_remembered_than_allowed_but_one_under_way_is_not_lost() -> None:
    log = MemoryEventLog(max_runs=2)
    log.append("live", word(1))
    for run in ("a", "b", "c"):
        log.append(run, entry(1, terminal=True))
    assert log.last_seq("live") == 1
    log.append("live", entry(2, terminal=True))
    assert log.held_runs == 2
    assert [log.last_seq(run) for run in ("live", "a", "b", "c")] == [0, 0, 1, 1]
