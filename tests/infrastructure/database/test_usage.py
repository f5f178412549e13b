"""What was used, in the table: sums that many writers add to."""

import asyncio
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import delete

from infrastructure.database.engine import Database
from infrastructure.database.models import Run, User, new_id
from infrastructure.database.repositories.usage import DayOfModel, TotalsRepository, UsageRepository, UsageRow
from services.stats import first_id_at
from tests.services.chat_rows import START, add_chat, add_user

DAY = date(2026, 1, 5)


async def add(database: Database, *rows: UsageRow) -> None:
    async with database.write() as session:
        await UsageRepository(session).add(rows)


async def all_days(database: Database, since: date = DAY) -> list[DayOfModel]:
    async with database.read() as session:
        return await UsageRepository(session).of_all(since)


async def test_what_comes_again_is_added_to_what_is_there(database: Database) -> None:
    ada, bob = await add_user(database), await add_user(database, "bob")
    for _ in range(2):
        await add(
            database, UsageRow(ada, DAY, "m", 10, 1, 1), UsageRow(bob, DAY, "m", 5, 2, 1),
            UsageRow(ada, DAY, "n", 1, 1, 1), UsageRow(None, DAY, "m", 100, 100, 1),
            UsageRow(ada, DAY + timedelta(days=1), "m", 7, 7, 1),
        )  # fmt: skip
    async with database.read() as session:
        repository = UsageRepository(session)
        assert await repository.tokens(ada, DAY) == 26
        assert await repository.tokens(new_id(), DAY) == 0
        assert await repository.of_user(ada, DAY) == [
            DayOfModel(DAY, "m", 20, 2, 2), DayOfModel(DAY, "n", 2, 2, 2),
            DayOfModel(DAY + timedelta(days=1), "m", 14, 14, 2),
        ]  # fmt: skip
    assert (await all_days(database))[0] == DayOfModel(DAY, "m", 230, 206, 6)
    assert len(await all_days(database, DAY + timedelta(days=1))) == 1


async def test_writers_of_the_same_rows_at_once_lose_nothing(database: Database) -> None:
    users = [await add_user(database, f"user{number}") for number in range(6)]
    rows = [UsageRow(user, DAY, "m", 1, 1, 1) for user in users]
    await asyncio.gather(*(add(database, *(rows if turn % 2 else rows[::-1])) for turn in range(6)))
    assert await all_days(database) == [DayOfModel(DAY, "m", 36, 36, 36)]


async def test_more_rows_than_a_statement_takes_are_all_written(database: Database) -> None:
    await add(database, *(UsageRow(None, DAY, f"model {number}", 1, 1, 1) for number in range(250)))
    assert len(await all_days(database)) == 250


async def test_who_is_gone_is_left_out_and_takes_no_other_along(database: Database) -> None:
    ada, gone = await add_user(database), new_id()
    await add(database, UsageRow(gone, DAY, "m", 1, 1, 1), UsageRow(ada, DAY, "m", 2, 2, 1))
    assert await all_days(database) == [DayOfModel(DAY, "m", 2, 2, 1)]
    async with database.write() as session:
        await session.execute(delete(User).where(User.id == ada))
    assert await all_days(database) == []


async def test_totals_are_counted(database: Database) -> None:
    ada = await add_user(database)
    await add_chat(database, ada, turns=[("a?", "b."), ("c?", "d.")])
    await add_chat(database, None, turns=[("a?", "b.")])
    async with database.read() as session:
        totals = TotalsRepository(session)
        assert await totals.users() == 1
        assert await totals.chats() == (2, 6)
        assert await totals.chats(ada) == (1, 4)
        assert await totals.chats(new_id()) == (0, 0)
        assert await totals.files() == await totals.files(ada) == 0


async def test_runs_of_the_last_hours_are_found_by_the_time_in_their_ids(database: Database) -> None:
    chat = await add_chat(database, turns=[("a?", "b.")])
    now = datetime.now(UTC)
    async with database.write() as session:
        for number, id_ in enumerate((first_id_at(now - timedelta(hours=25)), first_id_at(now - timedelta(hours=23)))):
            session.add(
                Run(
                    id=id_, chat_id=chat.id, user_message_id=new_id(), answer_id=new_id(), answer_position=10 + number,
                    worker="test", started_at=START,
                )
            )  # fmt: skip
    async with database.read() as session:
        found = await TotalsRepository(session).runs_by_outcome(first_id_at(now - timedelta(hours=24)))
        assert dict(found) == {"complete": 1, None: 1}
        later = await TotalsRepository(session).runs_by_outcome(first_id_at(now + timedelta(hours=1)))
        assert list(later) == []


def test_an_id_made_at_a_moment_is_not_before_the_first_of_that_moment() -> None:
    before = first_id_at(datetime.now(UTC))
    made = new_id()
    assert before <= made < first_id_at(datetime.now(UTC) + timedelta(seconds=1))
