"""Frames handed over as they are appended, for a reader that has caught up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.errors import NotFound
from infrastructure.event_log.entry import Entry
from infrastructure.event_log.memory import MemoryEventLog


def frame(seq: int, last: int) -> Entry:
    return Entry(seq, b"%d" % seq, f"{seq} ", terminal=seq == last)


@given(st.integers(1, 30), st.data())
async def test_reading_and_tailing_in_turns_gives_every_frame_once(last: int, data: st.DataObject) -> None:
    log = MemoryEventLog()
    seen: list[int] = []

    def hear(entry: Entry) -> None:
        seen.append(entry.seq)

    stop = None
    for seq in range(1, last + 1):
        log.append("run", frame(seq, last))
        if stop is not None and data.draw(st.booleans()):
            stop()
            stop = None
        if stop is None and data.draw(st.booleans()):
            if log.last_seq("run") > len(seen):
                batch = await anext(log.read("run", len(seen)))
                seen += [entry.seq for entry in batch.entries]
            stop = log.tail("run", len(seen), hear)
            assert (stop is None) == (seq == last)
    seen += [entry.seq async for batch in log.read("run", len(seen)) for entry in batch.entries]
    assert seen == list(range(1, last + 1))


def test_who_is_behind_has_to_read_first() -> None:
    log = MemoryEventLog()
    log.append("run", frame(1, 9))
    assert log.tail("run", 0, lambda _: None) is None


def test_an_ended_run_has_no_tail_and_an_unknown_one_is_not_found() -> None:
    log = MemoryEventLog()
    log.append("run", frame(1, 1))
    assert log.tail("run", 1, lambda _: None) is None
    with pytest.raises(NotFound):
        log.tail("other", 0, lambda _: None)


def test_two_tails_hear_the_same_and_stop_one_by_one() -> None:
    log = MemoryEventLog()
    log.append("run", frame(1, 9))
    first: list[int] = []
    second: list[int] = []
    stop_first = log.tail("run", 1, lambda entry: first.append(entry.seq))
    assert stop_first is not None
    assert log.tail("run", 1, lambda entry: second.append(entry.seq)) is not None
    log.append("run", frame(2, 9))
    stop_first()
    log.append("run", frame(3, 9))
    assert (first, second) == ([2], [2, 3])
