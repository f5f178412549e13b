"""Fixed statements in one transaction: the same on both databases, and readable by everyone else afterwards."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import bindparam, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.models import Chat, Run, new_id
from infrastructure.database.rows import Rows, inserting
from infrastructure.database.together import Together

CHAT: Any = Chat.__table__
RUN: Any = Run.__table__
COLUMNS = (
    "id", "user_id", "title", "details", "is_archived", "message_count", "last_position", "created_at", "updated_at",
)  # fmt: skip
ADD = inserting(CHAT, *COLUMNS)
FIND = select(*(CHAT.c[name] for name in COLUMNS)).where(CHAT.c.id == bindparam("id"))
RETITLE = update(CHAT).where(CHAT.c.id == bindparam("of_chat")).values(title=bindparam("to_title"))
MORE = update(CHAT).where(CHAT.c.id == bindparam("of_chat")).values(message_count=CHAT.c.message_count + 1)


def chat(**fields: Any) -> dict[str, Any]:
    now = datetime(2026, 11, 21, 12, 30, 15, 123456, UTC)
    known = {
        "id": new_id(), "user_id": None, "title": "Título: 標題", "details": {"tags": ["a", None, 1.5, True]},
        "is_archived": True, "message_count": 2, "last_position": 2**40, "created_at": now, "updated_at": now,
    }  # fmt: skip
    return known | fields


async def add(database: Database, *rows: dict[str, Any]) -> int:
    return await database.transact(lambda tables: tables.change(ADD, rows))


async def titles(database: Database) -> set[str | None]:
    async with database.read() as session:
        return set((await session.execute(select(Chat.title))).scalars())


async def test_what_is_written_is_found_again_and_read_by_the_models(database: Database) -> None:
    row = chat()
    await add(database, row)
    [found] = await database.transact(lambda tables: tables.find(FIND, [{"id": row["id"]}]))
    assert list(found) == [row[name] for name in COLUMNS]
    async with database.read() as session:
        read = await session.get_one(Chat, row["id"])
    assert {name: getattr(read, name) for name in COLUMNS} == row


async def test_a_time_of_another_zone_is_the_same_moment(database: Database) -> None:
    moment = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    row = chat(created_at=moment)
    await add(database, row)
    async with database.read() as session:
        read = await session.get_one(Chat, row["id"])
    assert read.created_at == moment
    assert read.created_at.tzinfo is UTC


async def test_many_rows_and_many_keys_go_in_one_call(database: Database) -> None:
    rows = [chat(title=f"chat {number}") for number in range(5)]
    await add(database, *rows)
    keys = [{"id": row["id"]} for row in reversed(rows)]
    found = await database.transact(lambda tables: tables.find(FIND, keys))
    assert [row[2] for row in found] == ["chat 4", "chat 3", "chat 2", "chat 1", "chat 0"]


async def test_several_changes_of_many_rows_go_together(database: Database) -> None:
    old, new = [chat(title=f"old {n}") for n in range(5)], [chat(details={"n": [n, None]}) for n in range(3)]
    await add(database, *old)
    renamed = [{"of_chat": row["id"], "to_title": f"it's {n} [é]"} for n, row in enumerate(old)]
    both = Together(RETITLE, ADD)
    await database.transact(lambda tables: tables.change_together(both, (renamed, new)))
    await database.transact(lambda tables: tables.change_together(both, ([], [])))
    expected = [row | {"title": f"it's {n} [é]"} for n, row in enumerate(old)] + new
    keys = [{"id": row["id"]} for row in expected]
    found = await database.transact(lambda tables: tables.find(FIND, keys))
    assert [list(row) for row in found] == [[row[name] for name in COLUMNS] for row in expected]


async def test_changes_that_go_together_all_fail_with_one(database: Database) -> None:
    row = chat()
    await add(database, row)
    changes = ([{"of_chat": row["id"], "to_title": "never"}], [chat(), row])
    with pytest.raises(IntegrityError):
        await database.transact(lambda tables: tables.change_together(Together(RETITLE, ADD), changes))
    assert await titles(database) == {row["title"]}


async def test_a_text_that_is_too_long_for_postgresql_is_refused_and_not_cut(postgres_database: Database) -> None:
    with pytest.raises(DBAPIError):
        await postgres_database.transact(
            lambda tables: tables.change_together(Together(ADD), ([chat(title="x" * 5000)],))
        )


async def test_a_statement_may_hold_values_of_its_own(database: Database) -> None:
    row = chat()
    await add(database, row)
    assert await database.transact(lambda tables: tables.change(MORE, [{"of_chat": row["id"]}])) == 1
    [found] = await database.transact(lambda tables: tables.find(FIND, [{"id": row["id"]}]))
    assert found[5] == 3


async def test_what_raises_leaves_nothing(database: Database) -> None:
    async def fail(tables: Rows) -> None:
        await tables.change(ADD, [chat(title="never")])
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await database.transact(fail)
    assert await titles(database) == set()
    await add(database, chat(title="after"))
    assert await titles(database) == {"after"}


async def test_a_broken_constraint_is_the_same_error_on_both(database: Database) -> None:
    row = chat()
    await add(database, row)
    with pytest.raises(IntegrityError):
        await add(database, row)
    with pytest.raises(IntegrityError):
        await add(database, chat(user_id=new_id()))


async def test_writers_of_both_ways_take_turns(database: Database) -> None:
    row = chat(title="0")
    await add(database, row)

    async def by_session(number: int) -> None:
        async with database.write() as session:
            await session.execute(update(Chat).values(message_count=Chat.message_count + number))

    await asyncio.gather(
        *(by_session(1) for _ in range(5)),
        *(database.transact(lambda tables: tables.change(MORE, [{"of_chat": row["id"]}])) for _ in range(5)),
    )
    [found] = await database.transact(lambda tables: tables.find(FIND, [{"id": row["id"]}]))
    assert found[5] == 12


async def test_on_sqlite_a_transaction_that_waits_for_something_else_is_refused(tmp_path: Any) -> None:
    database = Database(open_engine(f"sqlite:///{tmp_path}/a.db"))

    async def wait(_: Rows) -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="waits for nothing"):
        await database.transact(wait)
    await database.close()


async def test_a_table_that_is_not_there_is_an_operational_error_on_sqlite(tmp_path: Any) -> None:
    database = Database(open_engine(f"sqlite:///{tmp_path}/a.db"))
    with pytest.raises(OperationalError):
        await add(database, chat())
    await database.close()
