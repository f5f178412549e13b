"""The migrations make the tables that the models describe, and unmake them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from infrastructure.database.engine import open_engine
from infrastructure.database.migrate import MIGRATIONS, downgrade, is_current, newest_revision, upgrade
from infrastructure.database.models import Base, new_id


@pytest.fixture
def url(empty_database_url: str) -> str:
    return empty_database_url


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(url)
    yield engine
    await engine.dispose()


async def table_names(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


async def test_up_down_and_up_again(url: str, engine: AsyncEngine) -> None:
    await upgrade(url)
    assert await table_names(engine) == {*Base.metadata.tables, "alembic_version"}
    await downgrade(url)
    assert await table_names(engine) == {"alembic_version"}
    await upgrade(url)
    assert await table_names(engine) == {*Base.metadata.tables, "alembic_version"}


async def test_a_database_is_current_only_after_the_upgrade(url: str, engine: AsyncEngine) -> None:
    assert not await is_current(engine)
    await upgrade(url)
    assert await is_current(engine)
    await downgrade(url)
    assert not await is_current(engine)


async def test_models_and_migrations_describe_the_same_tables(url: str, engine: AsyncEngine) -> None:
    await upgrade(url)

    def drift(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))

    async with engine.connect() as connection:
        assert await connection.run_sync(drift) == []


async def test_each_migration_goes_down_and_up_again(url: str, engine: AsyncEngine) -> None:
    await upgrade(url)
    revisions = [script.revision for script in script_directory().walk_revisions()]  # newest first
    for revision in [*revisions[1:], "base"]:
        await downgrade(url, revision)
    for revision in reversed(revisions):
        await upgrade(url, revision)
    assert await is_current(engine)


async def test_every_constraint_has_its_name(url: str, engine: AsyncEngine) -> None:
    await upgrade(url)

    def names(connection: Connection) -> set[str | None]:
        look = inspect(connection)
        return {
            look.get_pk_constraint("document")["name"],
            look.get_foreign_keys("chunk")[0]["name"],
            sorted(unique["name"] or "" for unique in look.get_unique_constraints("user"))[0],
            look.get_check_constraints("document")[0]["name"],
            look.get_indexes("chunk")[0]["name"],
            look.get_foreign_keys("chat_message")[0]["name"],
        }

    async with engine.connect() as connection:
        assert await connection.run_sync(names) == {
            "PK__document",
            "FK__chunk__document",
            "UQ__user__email_key",
            "CK__document__status",
            "IX__chunk__document_id",
            "FK__chat_message__chat",
        }


async def test_documents_keep_their_chunks_and_embeddings_on_the_way_up_and_down(url: str, engine: AsyncEngine) -> None:
    await upgrade(url, "0002")
    document = {"id": new_id().replace("-", ""), "at": "2026-11-01 00:00:00+00:00"}
    async with engine.begin() as connection:
        await connection.exec_driver_sql(
            "INSERT INTO document (id, name, title, media_type, size_bytes, checksum, modified_ns, recipe, text, status,"
            f" chunks_count, created_at, updated_at) VALUES ('{document['id']}', 'a.md', 'A', 'text/markdown', 1, 'c', 1,"
            f" 'r', 'text', 'ready', 1, '{document['at']}', '{document['at']}')"
        )
        await connection.exec_driver_sql(
            'INSERT INTO chunk (id, document_id, ordinal, kind, start, "end", embedding_model, embedding)'
            f" VALUES ('{document['id']}', '{document['id']}', 0, 'text', 0, 4, 'm', 'v')"
        )
    for revision in ("0003", "0002"):
        await (upgrade if revision == "0003" else downgrade)(url, revision)
        of = "chunk_embedding" if revision == "0003" else "chunk"
        async with engine.begin() as connection:
            assert len((await connection.exec_driver_sql("SELECT name FROM document")).all()) == 1
            found = (await connection.exec_driver_sql(f"SELECT embedding FROM {of}")).scalar_one()
            assert bytes(found) == b"v" if isinstance(found, bytes) else found == "v"


async def test_two_upgrades_at_once_take_turns(url: str, engine: AsyncEngine) -> None:
    await asyncio.gather(upgrade(url), upgrade(url))
    assert await is_current(engine)


def test_the_newest_file_is_alembics_head() -> None:
    assert script_directory().get_current_head() == newest_revision()


def script_directory() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(config)
