"""The session manager: each conversation's own state, its place in line, and when it leaves."""

import asyncio
from datetime import UTC, datetime

import pytest

from infrastructure.database.engine import Database
from infrastructure.errors import Conflict, InvalidInput, RateLimited
from services import sessions
from services.conversations import Conversations
from services.sessions import (
    MAX_WAITING,
    REQUEST_MEMORY_SECONDS,
    SeenRequest,
    Session,
    SessionManager,
    Turn,
    parse_session_id,
)

A, B, C, D, E = (f"00000000-0000-7000-8000-00000000000{letter}" for letter in "abcde")
SEEN = SeenRequest("run", "s", "Q?", 0.0)


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def store(database: Database) -> Conversations:
    return Conversations(database, clock=lambda: datetime.now(UTC))


@pytest.fixture
async def manager(store: Conversations, clock: Time) -> SessionManager:
    return SessionManager(store, max_turns=3, max_sessions=3, ttl_seconds=100, monotonic=clock)


def turn(number: int) -> Turn:
    return Turn(f"q{number}", f"a{number}", "complete")


async def test_a_session_is_begun_once_and_found_again(manager: SessionManager) -> None:
    first = await manager.open(A)
    assert (await manager.open(A)) is first
    assert (await manager.open(B)) is not first
    assert len(manager) == 2


async def test_a_session_without_an_id_is_found_by_nobody_and_keeps_nothing(manager: SessionManager) -> None:
    session = await manager.open(None)
    session.save(turn(1))
    assert session.history() == ()
    assert len(manager) == 0


async def test_a_session_remembers_its_newest_turns(manager: SessionManager) -> None:
    session = await manager.open(A)
    for number in range(5):
        session.save(turn(number))
    assert session.history() == (turn(2), turn(3), turn(4))


async def test_a_turn_that_said_nothing_is_no_history(manager: SessionManager) -> None:
    session = await manager.open(A)
    session.save(Turn("q", "", "error"))
    session.save(Turn("q", "half", "incomplete"))
    assert session.history() == (Turn("q", "half", "incomplete"),)


async def test_a_memory_of_no_turns_is_none(store: Conversations) -> None:
    session = await SessionManager(store, max_turns=0).open(A)
    session.save(turn(1))
    assert session.history() == ()


async def test_the_one_place_is_given_in_the_order_of_asking(manager: SessionManager) -> None:
    session, order = (await manager.open(A)), []

    async def hold(number: int) -> None:
        async with session.turn():
            assert session.occupied
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*[hold(number) for number in range(5)])
    assert order == [0, 1, 2, 3, 4]
    assert not session.occupied


async def test_who_leaves_the_line_holds_up_nobody(manager: SessionManager) -> None:
    session = await manager.open(A)

    async def hold() -> None:
        async with session.turn():
            await asyncio.sleep(0)

    first, second, third = (asyncio.create_task(hold()) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(first, third)
    assert second.cancelled()
    assert not session.occupied


async def test_idle_sessions_leave_when_their_time_is_over(manager: SessionManager, clock: Time) -> None:
    (await manager.open(A)).save(turn(1))
    clock.now = 50.0
    await manager.open(B)
    clock.now = 100.0
    manager.expire()
    assert len(manager) == 1
    assert (await manager.open(A)).history() == ()


async def test_a_session_that_is_used_stays(manager: SessionManager, clock: Time) -> None:
    (await manager.open(A)).save(turn(1))
    for now in range(0, 500, 50):
        clock.now = float(now)
        await manager.open(A)
        manager.expire()
    assert (await manager.open(A)).history() == (turn(1),)


async def test_the_longest_idle_session_leaves_when_there_are_too_many(manager: SessionManager) -> None:
    for name in (A, B, C):
        (await manager.open(name)).save(turn(1))
    await manager.open(A)
    await manager.open(D)
    assert len(manager) == 3
    assert (await manager.open(A)).history() == (turn(1),)
    assert (await manager.open(B)).history() == ()


async def test_a_busy_session_does_not_leave(manager: SessionManager, clock: Time) -> None:
    busy = await manager.open(A)
    busy.active["run"] = "answer"
    for name in (B, C, D, E):
        await manager.open(name)
    clock.now = 1000.0
    manager.expire()
    assert (await manager.open(A)) is busy
    assert manager.active == 1


def busy_with(runs: int) -> Session:
    session = Session("a", 3, 0.0)
    session.active.update((str(run), "answer") for run in range(runs))
    return session


def test_a_busy_session_takes_more_questions_up_to_a_bound(manager: SessionManager) -> None:
    manager.admit(busy_with(0), "queue")
    manager.admit(busy_with(MAX_WAITING), "queue")
    manager.admit(busy_with(MAX_WAITING), "interrupt")
    with pytest.raises(RateLimited):
        manager.admit(busy_with(MAX_WAITING + 1), "queue")
    with pytest.raises(RateLimited):
        manager.admit(busy_with(MAX_WAITING + 1), "interrupt")


def test_a_busy_session_refuses_where_that_is_its_policy(manager: SessionManager) -> None:
    manager.admit(busy_with(0), "reject")
    with pytest.raises(Conflict):
        manager.admit(busy_with(1), "reject")


def test_a_request_id_is_remembered_for_a_day(manager: SessionManager, clock: Time) -> None:
    assert manager.seen("s", "r", "Q?") is None
    manager.remember("s", "r", SEEN)
    clock.now = REQUEST_MEMORY_SECONDS - 1
    assert manager.seen("s", "r", "Q?") == SEEN
    clock.now = REQUEST_MEMORY_SECONDS
    assert manager.seen("s", "r", "Q?") is None


def test_a_request_id_counts_in_its_own_session_only(manager: SessionManager) -> None:
    manager.remember("s", "r", SEEN)
    assert manager.seen("other", "r", "Q?") is None


def test_a_request_id_with_another_question_is_a_conflict(manager: SessionManager) -> None:
    manager.remember("s", "r", SEEN)
    with pytest.raises(Conflict):
        manager.seen("s", "r", "Another?")


def test_no_more_request_ids_are_remembered_than_allowed(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MAX_REQUESTS_REMEMBERED", 2)
    for number in ("1", "2", "3"):
        manager.remember("s", number, SEEN)
    assert [manager.seen("s", number, "Q?") is not None for number in ("1", "2", "3")] == [False, True, True]


def test_a_session_id_is_a_uuid_in_any_spelling() -> None:
    canonical = "0190c0de-0000-7000-8000-00000000abcd"
    for spelling in (
        canonical,
        canonical.upper(),
        canonical.replace("-", ""),
        f"{{{canonical}}}",
        f"urn:uuid:{canonical}",
    ):
        assert parse_session_id(spelling) == canonical
    assert parse_session_id(None) is None


@pytest.mark.parametrize("value", ["", "a", 5, True, ["x"], {}, "0" * 31, "x" * 100_000, "../../etc", "\ud800" * 32])
def test_what_is_no_session_id(value: object) -> None:
    with pytest.raises(InvalidInput, match="session_id must be a UUID"):
        parse_session_id(value)


async def test_sessions_whose_turns_take_too_much_leave_the_longest_idle_first(store: Conversations) -> None:
    long = Turn("q", "a" * 10_000, "complete")
    manager = SessionManager(store, max_turn_bytes=25_000)
    for session_id in (A, B, C):
        (await manager.open(session_id)).save(long)
    assert manager.turn_bytes == 3 * long.bytes
    await manager.open(D)
    assert [manager.find(session_id) is None for session_id in (A, B, C, D)] == [True, False, False, False]
    assert manager.turn_bytes == 2 * long.bytes
    manager.forget(B)
    assert manager.turn_bytes == long.bytes


async def test_a_session_that_is_to_be_used_stays_whatever_its_turns_take(store: Conversations) -> None:
    manager = SessionManager(store, max_turn_bytes=100)
    session = await manager.open(A)
    session.save(turn(1))
    assert await manager.open(A) is session


async def test_turns_that_leave_their_session_count_no_more(store: Conversations) -> None:
    session = await SessionManager(store, max_turns=2).open(A)
    for number in range(5):
        session.save(turn(number))
    assert session.bytes == turn(3).bytes + turn(4).bytes


def test_a_request_is_remembered_with_all_that_it_was(manager: SessionManager) -> None:
    bare, whole = SeenRequest("run", None, "d", 0.1), SeenRequest("run", "s", "d", 1 / 3, "message", "answer")
    manager.remember("one", "request", bare)
    manager.remember("other", "request", whole)
    assert manager.seen("one", "request", "d") == bare
    assert manager.seen("other", "request", "d") == whole
