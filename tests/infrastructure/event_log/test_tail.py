"""Frames handed over as they are delivered, for a reader that has caught up: from either log."""

from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infrastructure.errors import NotFound
from infrastructure.event_log.entry import Entry
from tests.infrastructure.event_log.workers import RUN, Log, entry, say


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(last=st.integers(1, 30), data=st.data())
async def test_reading_and_tailing_in_turns_gives_every_frame_once(log: Log, last: int, data: st.DataObject) -> None:
    run_id = str(uuid4())
    seen: list[int] = []

    def hear(one: Entry) -> None:
        seen.append(one.seq)

    stop = None
    for seq in range(1, last + 1):
        log.append(run_id, entry(seq, terminal=seq == last))
        if data.draw(st.booleans()) or seq == 1:
            await log.settle(run_id)
        if stop is not None and data.draw(st.booleans()):
            stop()
            stop = None
        if stop is None and data.draw(st.booleans()):
            if log.last_seq(run_id) > len(seen):
                batch = await anext(log.read(run_id, len(seen)))
                seen += [one.seq for one in batch.entries]
            stop = log.tail(run_id, len(seen), hear)
    await log.settle(run_id)
    seen += [one.seq async for batch in log.read(run_id, len(seen)) for one in batch.entries]
    assert seen == list(range(1, last + 1))


async def test_who_is_behind_has_to_read_first(log: Log) -> None:
    await say(log, entry(1))
    assert log.tail(RUN, 0, lambda _: None) is None


async def test_an_ended_run_has_no_tail_and_an_unknown_one_is_not_found(log: Log) -> None:
    await say(log, entry(1, terminal=True))
    assert log.tail(RUN, 1, lambda _: None) is None
    with pytest.raises(NotFound):
        log.tail("other", 0, lambda _: None)


async def test_two_tails_hear_the_same_and_stop_one_by_one(log: Log) -> None:
    await say(log, entry(1))
    first: list[int] = []
    second: list[int] = []
    stop_first = log.tail(RUN, 1, lambda one: first.append(one.seq))
    assert stop_first is not None
    assert log.tail(RUN, 1, lambda one: second.append(one.seq)) is not None
    await say(log, entry(2))
    stop_first()
    await say(log, entry(3))
    assert (first, second) == ([2], [2, 3])
