"""Workers' leases, and the runs of those that died."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from infrastructure.database.repositories.turns import BegunTurn, EndedTurn, NewTurn, TakenOver
from services.conversations import Conversations
from services.leases import Leases


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def conversations(database: Database) -> Conversations:
    return Conversations(database, clock=now)


class Clock:
    """A monotonic clock that goes when it is told."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


async def begun(conversations: Conversations, worker: str, **more: object) -> tuple[NewTurn, BegunTurn]:
    turn = NewTurn(new_id(), None, "Why?", new_id(), new_id(), new_id(), worker, now(), **more)  # type: ignore[arg-type]
    kept = await conversations.begin(turn)
    assert isinstance(kept, BegunTurn)
    return turn, kept


def ended(turn: NewTurn, kept: BegunTurn, worker: str, fence: int) -> EndedTurn:
    return EndedTurn(
        turn.chat_id, turn.run_id, turn.answer_id, kept.message_id, kept.position, f"Because, says {worker}.",
        "complete", now(), None, {"outcome": "complete"}, worker, fence,
    )  # fmt: skip


async def steady(database: Database, worker: str, clock: Clock) -> Leases:
    """A worker that has been heard of for long enough to judge others."""
    leases = Leases(database, worker, seconds=6, clock=now, monotonic=clock)
    await leases.beat()
    for _ in range(4):
        clock.at += 2
        await leases.beat()
    return leases


async def test_a_run_of_a_worker_that_is_not_there_is_taken_over_once(
    database: Database, conversations: Conversations
) -> None:
    turn, kept = await begun(conversations, "dead", asked={"rag_mode": "hybrid"})
    first, second = await steady(database, "first", Clock()), await steady(database, "second", Clock())
    assert (await first.left())[1]
    taken = await first.take_lost()
    assert [(run.id, run.fence, run.attempts, run.question) for run in taken] == [(turn.run_id, 2, 2, "Why?")]
    assert (taken[0].asked, taken[0].answer_position, taken[0].asked_at) == (
        {"rag_mode": "hybrid"}, kept.position, kept.asked_at,
    )  # fmt: skip
    if not database.is_sqlite:  # where there is one process, every other is dead
        assert await second.take_lost() == []
        assert await second.left() == (False, False)


async def test_what_the_old_worker_still_writes_is_refused(database: Database, conversations: Conversations) -> None:
    turn, kept = await begun(conversations, "slow")
    leases = await steady(database, "new", Clock())
    await leases.take_lost()
    with pytest.raises(TakenOver):
        await conversations.end(ended(turn, kept, "slow", 1))
    assert await conversations.ended_of([turn.run_id]) == set()
    await conversations.end(ended(turn, kept, "new", 2))
    stored = await conversations.run(turn.run_id)
    assert stored is not None
    assert stored.answer == "Because, says new."


async def test_a_living_workers_runs_stay_its_own(database: Database, conversations: Conversations) -> None:
    if database.is_sqlite:
        return
    await begun(conversations, "living")
    living, other = await steady(database, "living", Clock()), await steady(database, "other", Clock())
    assert await other.take_lost() == []
    await living.leave()
    await living.beat()
    assert [run.attempts for run in await other.take_lost()] == [1], "it has left, in order"


@pytest.mark.parametrize("passes", [lambda clock: None, lambda clock: setattr(clock, "at", clock.at + 60)])
async def test_a_worker_that_was_itself_cut_off_judges_nobody(
    database: Database, conversations: Conversations, passes: Callable[[Clock], None]
) -> None:
    if database.is_sqlite:
        return
    await begun(conversations, "dead")
    clock = Clock()
    leases = Leases(database, "new", seconds=6, clock=now, monotonic=clock)
    assert await leases.take_lost() == [], "not heard of yet"
    await leases.beat()
    passes(clock)
    await leases.beat()
    clock.at += 5
    await leases.beat()
    assert await leases.take_lost() == [], "not for a whole lease"
    clock.at += 2
    await leases.beat()
    assert len(await leases.take_lost()) == 1


async def test_what_is_under_way_in_a_chat_is_known_to_every_process(
    database: Database, conversations: Conversations
) -> None:
    turn, kept = await begun(conversations, "one", most_ahead=16)
    assert kept.ahead == ()
    assert await conversations.under_way(turn.chat_id) == (turn.run_id, turn.answer_id)
    again = NewTurn(turn.chat_id, None, "And?", new_id(), new_id(), new_id(), "two", now(), most_ahead=16)
    second = await conversations.begin(again)
    assert isinstance(second, BegunTurn)
    assert second.ahead == (turn.run_id,)
    await conversations.end(ended(turn, kept, "one", 1))
    assert await conversations.under_way(turn.chat_id) == (again.run_id, again.answer_id)
    assert await conversations.ended_of([turn.run_id]) == {turn.run_id}


async def test_whether_a_worker_stood_apart_is_known_when_it_has_died(
    database: Database, conversations: Conversations
) -> None:
    await begun(conversations, "dead")
    clock, apart = Clock(), [True]
    dying = Leases(database, "dead", seconds=0.001, clock=now, monotonic=clock, apart=lambda: apart[0])
    await dying.beat()
    heir = await steady(database, "heir", Clock())
    assert [run.apart for run in await heir.take_lost()] == [True]
    apart[0] = False
    await begun(conversations, "dead")
    await dying.beat()
    await begun(conversations, "unknown")
    await heir.beat()
    assert [run.apart for run in await heir.take_lost()] == [False, False]
