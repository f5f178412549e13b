"""The event log in memory: what only it can be asked."""

import asyncio
import gc

import pytest

from infrastructure.errors import NotFound
from infrastructure.event_log.entry import Entry
from infrastructure.event_log.memory import MemoryEventLog
from tests.infrastructure.event_log.workers import RUN, entry, read_all, seqs, word, words


def futures() -> int:
    """How many there are, whoever holds them."""
    gc.collect()
    return sum(isinstance(one, asyncio.Future) and not isinstance(one, asyncio.Task) for one in gc.get_objects())


@pytest.mark.parametrize("way", ["read", "terminal"])
async def test_readers_that_come_and_go_leave_nothing_behind(way: str) -> None:
    log = MemoryEventLog()
    log.append(RUN, word(1))
    before = futures()
    for _ in range(50):
        waiting = asyncio.ensure_future(read_all(log, after=1) if way == "read" else log.terminal(RUN))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert futures() < before + 10
    assert not log.watched(RUN)


async def test_a_run_that_is_dropped_gives_its_readers_what_there_was_and_no_end() -> None:
    log = MemoryEventLog()
    log.append(RUN, word(1))
    reading = asyncio.ensure_future(read_all(log))
    ending = asyncio.ensure_future(log.terminal(RUN))
    await asyncio.sleep(0)
    assert log.watched(RUN)
    log.drop(RUN)
    log.drop("other")
    assert seqs(await reading) == [1]
    with pytest.raises(NotFound):
        await ending
    assert log.held_runs == 0


async def test_frames_that_are_here_in_other_words_are_not_given_again_but_told_as_a_gap() -> None:
    """Up to frame 2 both say the same; a reader has had a third and a fourth that the other does not know."""
    log = MemoryEventLog()
    for one in words(1, 4):
        log.append(RUN, one)
    tailed: list[Entry] = []
    assert log.tail(RUN, 4, tailed.append) is not None
    reading = asyncio.ensure_future(read_all(log, after=4))
    late = asyncio.ensure_future(read_all(log, after=1))
    await asyncio.sleep(0)
    log.catch_up(RUN, "ada", 0, "", [*words(1, 2), entry(3, "other ")], agreed=2)
    await asyncio.sleep(0)
    for one in (entry(4, "words "), entry(5, "here "), entry(6, "now"), entry(7, terminal=True)):
        log.append(RUN, one)
    [batch] = await reading
    assert batch.gap is not None
    assert (batch.gap.first, batch.gap.last) == (5, 5)
    assert batch.gap.answer == "word1 word2 other words here "
    assert seqs([batch]) == [6, 7]
    assert [one.seq for one in tailed] == [6, 7], "where a number is missing its reader knows"
    assert [seqs([batch]) for batch in await late] == [[2, 3, 4], [6, 7]]


async def test_an_end_that_is_here_in_other_words_is_given() -> None:
    log = MemoryEventLog()
    for one in words(1, 4):
        log.append(RUN, one)
    log.catch_up(RUN, "ada", 2, "word1 word2 ", [entry(3, "end"), entry(4, terminal=True)], agreed=2)
    assert (await log.terminal(RUN)).seq == 4
    [batch] = await read_all(log, after=1)
    assert batch.gap is not None
    assert (batch.gap.last, batch.gap.answer) == (3, "word1 word2 end")
    assert seqs([batch]) == [4]


async def test_what_is_further_than_it_was_here_begins_behind_a_gap() -> None:
    log = MemoryEventLog()
    log.append(RUN, word(1))
    log.catch_up(RUN, None, 5, "so far ", words(6, 7), agreed=1)
    [batch] = [await anext(log.read(RUN, 1))]
    assert batch.gap is not None
    assert (batch.gap.first, batch.gap.last, batch.gap.answer) == (2, 5, "so far ")
    assert seqs([batch]) == [6, 7]


async def test_what_is_here_already_stays_as_it_is() -> None:
    log = MemoryEventLog()
    for one in words(1, 3):
        log.append(RUN, one)
    log.catch_up(RUN, None, 1, "word1 ", words(2, 5), agreed=3)
    assert [seqs([batch]) for batch in [await anext(log.read(RUN))]] == [[1, 2, 3, 4, 5]]
    assert (log.base(RUN), [one.seq for one in log.held(RUN, 4)], log.held(RUN, 5)) == ((0, ""), [5], [])


async def test_what_is_left_of_ended_runs_is_bounded_in_bytes_too() -> None:
    text = "word " * 1000
    log = MemoryEventLog(max_bytes=0, max_ended_bytes=3 * len(text))
    for run in ("a", "b", "c"):
        log.append(run, Entry(1, b"{}", text))
        log.append(run, Entry(2, b"{}", terminal=True))
    assert [log.last_seq(run) for run in ("a", "b", "c")] == [0, 2, 2]
    assert log.answer("c") == text
