"""The writer's own connections to PostgreSQL: their statements stay prepared, and one that is lost costs nobody."""

import asyncio

import pytest
from sqlalchemy import bindparam, func, literal_column, select, text
from sqlalchemy.exc import DBAPIError

from infrastructure.database.engine import Database, is_unavailable, open_engine
from infrastructure.database.postgres_writer import CONNECTIONS
from infrastructure.database.rows import Rows
from tests.infrastructure.database.test_rows import ADD, CHAT, RETITLE, add, chat, titles

PREPARED = select(literal_column("statement")).select_from(text("pg_prepared_statements"))
PROCESS = select(func.pg_backend_pid())
TITLES = select(CHAT.c.title).where(CHAT.c.title == bindparam("title"))


async def process(rows: Rows) -> int:
    return int((await rows.find(PROCESS, [{}]))[0][0])


async def end(database: Database, *processes: int) -> None:
    """Have the server end connections, and wait until it has."""
    async with database.read() as session:
        for one in processes:
            await session.execute(select(func.pg_terminate_backend(one)))
        async with asyncio.timeout(20):
            while await session.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(:pids)"),
                                       {"pids": list(processes)}):  # fmt: skip
                """Look again."""


async def test_the_server_keeps_statements_prepared(postgres_database: Database) -> None:
    await add(postgres_database, chat())

    async def prepared(rows: Rows) -> list[str]:
        await rows.find(TITLES, [{"title": "no"}, {"title": "one"}])
        return [str(row[0]) for row in await rows.find(PREPARED, [{}])]

    found = await postgres_database.transact(prepared)
    assert sum("INSERT INTO chat" in statement for statement in found) == 1
    assert sum("WHERE chat.title" in statement for statement in found) == 1


async def test_connections_are_few_and_used_again(postgres_database: Database) -> None:
    processes = await asyncio.gather(*(postgres_database.transact(process) for _ in range(20)))
    assert len(set(processes)) <= CONNECTIONS
    assert await postgres_database.look(process) in processes


async def test_connections_that_the_server_ended_cost_nobody_a_transaction(postgres_database: Database) -> None:
    processes = await asyncio.gather(*(postgres_database.transact(process) for _ in range(20)))
    await end(postgres_database, *set(processes))
    await add(postgres_database, chat(title="kept"))
    assert await titles(postgres_database) == {"kept"}
    assert await postgres_database.transact(process) not in processes
    await end(postgres_database, await postgres_database.transact(process))
    assert await postgres_database.look(lambda rows: rows.find(TITLES, [{"title": "kept"}])) == [["kept"]]


async def test_what_is_lost_in_mid_transaction_is_told_and_not_done_twice(postgres_database: Database) -> None:
    tries = 0

    async def lost(rows: Rows) -> None:
        nonlocal tries
        tries += 1
        await rows.change(RETITLE, [{"of_chat": row["id"], "to_title": "never"}])
        await end(postgres_database, await process(rows))
        await rows.change(RETITLE, [{"of_chat": row["id"], "to_title": "never"}])

    row = chat(title="first")
    await add(postgres_database, row)
    with pytest.raises(DBAPIError) as caught:
        await postgres_database.transact(lost)
    assert is_unavailable(caught.value)
    assert (tries, await titles(postgres_database)) == (1, {"first"})
    await add(postgres_database, chat(title="after"))


async def test_a_connection_that_is_lost_at_the_commit_is_told_and_not_used_again(postgres_database: Database) -> None:
    processes = []

    async def lost_at_its_end(rows: Rows) -> None:
        await rows.change(ADD, [chat(title="never")])
        processes.append(await process(rows))
        await end(postgres_database, processes[0])

    with pytest.raises(DBAPIError) as caught:
        await postgres_database.transact(lost_at_its_end)
    assert is_unavailable(caught.value)
    assert await titles(postgres_database) == set()
    assert await postgres_database.transact(process) not in processes


async def test_a_server_that_cannot_be_reached_is_a_database_error() -> None:
    database = Database(open_engine("postgresql://u:secret@127.0.0.1:1/d"))
    for way in (database.transact, database.look):
        with pytest.raises(DBAPIError) as caught:
            await way(process)
        assert is_unavailable(caught.value)
        assert "secret" not in str(caught.value)
    await database.close()


async def test_a_statement_that_takes_too_long_is_not_a_server_that_is_away(postgres_database: Database) -> None:
    async def slow(rows: Rows) -> None:
        await rows.find(select(func.set_config("statement_timeout", "1", literal_column("true"))), [{}])
        await rows.find(select(func.pg_sleep(20)), [{}])

    with pytest.raises(DBAPIError) as caught:
        await postgres_database.transact(slow)
    assert getattr(caught.value.orig, "sqlstate", None) == "57014"
    assert await postgres_database.transact(process)
