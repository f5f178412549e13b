"""Budgets and what they count: in memory at once, in the database soon, and nothing lost."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import delete, event, select
from structlog.testing import capture_logs

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.models import UsageDay, User
from infrastructure.database.repositories.usage import DayOfModel, UsageRepository, UsageRow
from infrastructure.errors import RateLimited, StorageUnavailable
from infrastructure.providers.types import Usage
from services import budgets as budgets_module
from services import usage as usage_module
from services.budgets import Budgets, counted_under
from tests.services.chat_rows import Time, add_user

ADDRESS = "203.0.113.7"


@pytest.fixture
def clock() -> Time:
    return Time()  # 9:30 on 5 January 2026


@pytest_asyncio.fixture
async def make(database: Database, clock: Time) -> AsyncIterator[Callable[[int | None], Budgets]]:
    opened = []

    def made(limit: int | None) -> Budgets:
        opened.append(Budgets(database, clock, limit))
        return opened[-1]

    yield made
    for budgets in opened:
        await budgets.aclose()


async def kept(database: Database) -> list[DayOfModel]:
    async with database.read() as session:
        return await UsageRepository(session).of_all(date(2026, 1, 1))


async def refused(budgets: Budgets, caller: str) -> float:
    with pytest.raises(RateLimited) as caught:
        await budgets.check(caller)
    assert caught.value.retry_after is not None
    return caught.value.retry_after


def test_a_users_use_counts_for_the_user_and_nobodys_for_the_address() -> None:
    assert counted_under("some-id", ADDRESS) == "user:some-id"
    assert counted_under(None, ADDRESS) == ADDRESS


async def test_who_has_used_up_the_day_is_turned_away_till_midnight(
    database: Database, clock: Time, make: Callable[[int], Budgets]
) -> None:
    ada, bob = [counted_under(await add_user(database, name), ADDRESS) for name in ("ada", "bob")]
    budgets = make(100)
    await budgets.check(ada)
    budgets.note(ada, "m", Usage(60, 39))
    await budgets.check(ada)
    budgets.note(ada, "m", Usage(1, 0))
    assert await refused(budgets, ada) == 14.5 * 3600
    await budgets.check(bob)
    state = await budgets.state(ada)
    assert (state.limit, state.used, state.left) == (100, 100, 0)
    assert state.resets_at == datetime(2026, 1, 6, tzinfo=UTC)
    clock.pass_by(hours=14.5)
    await budgets.check(ada)
    budgets.note(ada, "m", Usage(100, 0))
    assert await refused(budgets, ada) == 24 * 3600


async def test_an_address_counts_in_memory_alone(database: Database, make: Callable[[int], Budgets]) -> None:
    budgets = make(10)
    await budgets.check(ADDRESS)
    budgets.note(ADDRESS, "m", Usage(9, 1))
    await refused(budgets, ADDRESS)
    await budgets.check("198.51.100.1")
    await make(10).check(ADDRESS)  # another process's
    await budgets.flush()
    assert await kept(database) == [DayOfModel(date(2026, 1, 5), "m", 9, 1, 1)]
    async with database.read() as session:
        callers = (await session.execute(select(UsageDay.caller, UsageDay.user_id))).all()
    assert [tuple(row) for row in callers] == [("anonymous", None)]


async def test_the_addresses_held_are_bounded(make: Callable[[int], Budgets], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets_module, "MAX_CALLERS", 3)
    budgets = make(1)
    for number in range(5):
        budgets.note(f"192.0.2.{number}", "m", Usage(1, 1))
    assert list(budgets._known) == ["192.0.2.2", "192.0.2.3", "192.0.2.4"]


async def test_what_was_used_is_known_after_a_restart(database: Database, make: Callable[[int], Budgets]) -> None:
    ada = counted_under(await add_user(database), ADDRESS)
    first = make(10)
    first.note(ada, "m", Usage(5, 5))
    await first.aclose()
    await refused(make(10), ada)


async def test_what_is_noted_but_not_written_counts_too(database: Database, make: Callable[[int], Budgets]) -> None:
    ada = counted_under(await add_user(database), ADDRESS)
    budgets = make(100)
    budgets.note(ada, "m", Usage(5, 5))
    assert (await budgets.state(ada)).used == 10
    budgets.note(ada, "m", Usage(1, 1))
    await budgets.flush()
    assert (await budgets.state(ada)).used == 12


async def test_what_other_processes_count_is_seen_in_a_while(
    database: Database, make: Callable[[int], Budgets], clock: Time
) -> None:
    user = await add_user(database)
    ada, now = counted_under(user, ADDRESS), [0.0]
    budgets = Budgets(database, clock, 10, monotonic=lambda: now[0])
    await budgets.check(ada)
    async with database.write() as session:
        await UsageRepository(session).add([UsageRow(user, date(2026, 1, 5), "m", 10, 0, 1)])
    await budgets.check(ada)
    now[0] = budgets_module.LOOK_SECONDS
    if database.is_sqlite:  # there is no other process
        await budgets.check(ada)
    else:
        await refused(budgets, ada)


async def test_without_a_budget_all_is_counted_and_nobody_turned_away(
    database: Database, make: Callable[[int | None], Budgets]
) -> None:
    ada = counted_under(await add_user(database), ADDRESS)
    budgets = make(None)
    budgets.note(ada, "m", Usage(10**7, 10**7))
    budgets.note(ada, "m", Usage(1, 1), questions=0)
    await budgets.check(ada)
    state = await budgets.state(ada)
    assert (state.limit, state.used, state.left) == (None, 2 * 10**7 + 2, None)
    await budgets.flush()
    assert [(day.prompt_tokens, day.questions) for day in await kept(database)] == [(10**7 + 1, 1)]


async def test_many_notes_are_written_at_once_and_few_after_a_moment(
    database: Database, make: Callable[[None], Budgets], monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = 0

    def count(_: object) -> None:
        nonlocal commits
        commits += 1

    monkeypatch.setattr(usage_module, "WRITE_SECONDS", 60.0)
    ada = counted_under(await add_user(database), ADDRESS)
    budgets = make(None)
    event.listen(database.engine.sync_engine, "commit", count)
    for _ in range(usage_module.WRITE_NOTES):
        budgets.note(ada, "m", Usage(1, 1))
    task = budgets._usage._task
    assert task is not None
    await asyncio.wait_for(task, 10)
    assert [day.questions for day in await kept(database)] == [usage_module.WRITE_NOTES]
    assert commits == 1
    monkeypatch.setattr(usage_module, "WRITE_SECONDS", 0.01)
    budgets.note(ada, "m", Usage(1, 1))
    assert budgets._usage._task is not None
    await asyncio.wait_for(budgets._usage._task, 10)
    assert [day.questions for day in await kept(database)] == [usage_module.WRITE_NOTES + 1]
    event.remove(database.engine.sync_engine, "commit", count)


async def test_nothing_is_lost_at_the_end(database: Database, make: Callable[[None], Budgets]) -> None:
    budgets = make(None)
    for number in range(usage_module.WRITE_NOTES * 3 + 1):
        budgets.note(ADDRESS, f"m{number % 3}", Usage(1, 1))
        if number % 20 == 0:
            await asyncio.sleep(0)  # the writer gets a turn
    await budgets.aclose()
    assert sum(day.questions for day in await kept(database)) == usage_module.WRITE_NOTES * 3 + 1


async def test_a_model_servers_odd_words_are_made_to_fit(database: Database, make: Callable[[None], Budgets]) -> None:
    budgets = make(None)
    for name in ("a\0b", "m" * 500, "", "\ud800"):
        budgets.note(ADDRESS, name, Usage(10**400, -5))
    await budgets.aclose()
    found = {day.model: (day.prompt_tokens, day.completion_tokens) for day in await kept(database)}
    assert set(found) == {"ab", "m" * 200, "unknown", "?"}
    assert set(found.values()) == {(10**9, 0)}


async def test_a_users_row_that_vanishes_takes_no_others_use_along(
    database: Database, make: Callable[[None], Budgets]
) -> None:
    gone, ada = [await add_user(database, name) for name in ("gone", "ada")]
    budgets = make(None)
    for user in (gone, ada):
        budgets.note(counted_under(user, ADDRESS), "m", Usage(1, 1))
    async with database.write() as session:
        await session.execute(delete(User).where(User.id == gone))
    await budgets.aclose()
    assert [day.questions for day in await kept(database)] == [1]


async def test_a_row_that_cannot_be_kept_does_not_stand_in_the_way_of_others(
    database: Database, make: Callable[[None], Budgets]
) -> None:
    budgets = make(None)
    budgets._usage._waiting[None, date(2026, 1, 5), "odd"] = usage_module._Sum(1, 1, None)  # type: ignore[arg-type]
    budgets.note(ADDRESS, "m", Usage(1, 1))
    with capture_logs() as logs:
        await budgets.flush()
    assert [day.model for day in await kept(database)] == ["m"]
    assert [line["log_level"] for line in logs] == ["error"]
    await budgets.flush()


async def test_what_cannot_be_written_is_written_later(tmp_path: Path, sqlite_template: Path) -> None:
    away = tmp_path / "askgraph.db"
    shutil.copy(sqlite_template, away)
    database, clock = Database(open_engine(f"sqlite:///{away}")), Time()
    budgets = Budgets(database, clock, 10)
    hidden = away.rename(tmp_path / "hidden.db")
    away.mkdir()
    budgets.note(ADDRESS, "m", Usage(3, 4))
    with capture_logs() as logs:
        await budgets.flush()
        await budgets.flush()
        with pytest.raises(StorageUnavailable):
            await budgets.check("user:0199f3a0-7c3e-7d63-9a53-0f2f0c8f5a11")
    assert [line["log_level"] for line in logs] == ["warning"], "once, not each second"
    budgets.note(ADDRESS, "m", Usage(1, 1))
    away.rmdir()
    hidden.rename(away)
    await budgets.aclose()
    assert await kept(database) == [DayOfModel(date(2026, 1, 5), "m", 4, 5, 2)]
    await database.close()


async def test_what_waits_for_a_database_that_is_away_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_module, "MOST_ROWS", 2)
    monkeypatch.setattr(usage_module, "LAST_TRIES", (0.0,))
    (tmp_path / "no.db").mkdir()
    database = Database(open_engine(f"sqlite:///{tmp_path}/no.db"))
    budgets = Budgets(database, Time(), None)
    with capture_logs() as logs:
        for number in range(3):
            budgets.note(ADDRESS, f"m{number}", Usage(1, 1))
        await budgets.aclose()
    assert len(budgets._usage._waiting) == 2
    assert [line["event"] for line in logs if line["log_level"] == "error"] == [
        "usage is not counted: the database does not keep up", "usage was not counted",
    ]  # fmt: skip
    await database.close()
