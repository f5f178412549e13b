"""The engine: spellings of a URL, SQLite's settings, and transactions that do not hinder each other."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

from infrastructure.database.engine import Database, async_url, is_unavailable, open_engine


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(open_engine(f"sqlite:///{tmp_path}/new/folder/test.db"))
    async with database.write() as session:
        await session.execute(text("CREATE TABLE parent (id INTEGER PRIMARY KEY)"))
        await session.execute(text("CREATE TABLE child (parent INTEGER REFERENCES parent (id))"))
    yield database
    await database.close()


async def count(database: Database) -> int:
    async with database.read() as session:
        return int((await session.execute(text("SELECT count(*) FROM parent"))).scalar_one())


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("sqlite:///data/a.db", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:///data/a.db", "sqlite+aiosqlite"),
        ("postgresql://u:p@h/d", "postgresql+asyncpg"),
        ("postgres://u:p@h/d", "postgresql+asyncpg"),
        ("postgresql+asyncpg://u:p@h/d", "postgresql+asyncpg"),
        ("postgresql+psycopg2://u:p@h/d", "postgresql+asyncpg"),
    ],
)
def test_a_url_gets_the_async_driver(given: str, driver: str) -> None:
    assert async_url(given).drivername == driver
    assert async_url(given).database in {"data/a.db", "d"}


def test_libpqs_ssl_mode_is_asyncpgs_ssl() -> None:
    assert dict(async_url("postgresql://u:p@h/d?sslmode=require&application_name=x").query) == {
        "ssl": "require",
        "application_name": "x",
    }


async def test_a_server_that_cannot_be_reached_is_a_database_error() -> None:
    database = Database(open_engine("postgresql://u:secret@127.0.0.1:1/d"))
    for block in (database.read, database.write):
        with pytest.raises(OperationalError) as caught:
            async with block() as session:
                await session.execute(text("SELECT 1"))
        assert is_unavailable(caught.value)
        assert "secret" not in str(caught.value)
    await database.close()


@pytest.mark.parametrize("bad", ["mysql://user:secret@host/db", "no url with secret in it", ""])
def test_another_database_is_refused_without_showing_its_url(bad: str) -> None:
    with pytest.raises(ValueError, match="database") as caught:
        async_url(bad)
    assert "secret" not in str(caught.value)


async def test_sqlite_is_set_up_for_readers_beside_a_writer(database: Database) -> None:
    async with database.read() as session:
        values = [
            (await session.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
        ]
    assert values == ["wal", 1, 5000, 1]


async def test_a_reader_does_not_wait_for_a_writer_and_sees_only_what_was_committed(database: Database) -> None:
    async with database.write() as writing:
        await writing.execute(text("INSERT INTO parent VALUES (1)"))
        assert await count(database) == 0
    assert await count(database) == 1


async def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    async def fail() -> None:
        async with database.write() as session:
            await session.execute(text("INSERT INTO parent VALUES (1)"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await count(database) == 0


async def test_foreign_keys_are_kept(database: Database) -> None:
    async def orphan() -> None:
        async with database.write() as session:
            await session.execute(text("INSERT INTO child VALUES (7)"))

    with pytest.raises(IntegrityError):
        await orphan()


async def test_a_writer_that_reads_first_waits_for_its_turn(database: Database) -> None:
    """Without BEGIN IMMEDIATE one of two transactions that read and then write fails with "database is locked"."""
    import asyncio

    async def add_next() -> None:
        async with database.write() as session:
            highest = (await session.execute(text("SELECT coalesce(max(id), 0) FROM parent"))).scalar_one()
            await session.execute(text("INSERT INTO parent VALUES (:id)"), {"id": highest + 1})

    await asyncio.gather(*(add_next() for _ in range(8)))
    assert await count(database) == 8


async def test_what_a_reading_session_changed_is_not_kept(database: Database) -> None:
    async with database.read() as session:
        await session.execute(text("INSERT INTO parent VALUES (1)"))
    assert await count(database) == 0
