"""The migrations make the tables that the models describe, and unmake them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, insert, inspect, select
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
    at = datetime(2026, 11, 1, tzinfo=UTC)
    document = {
        "id": new_id(), "name": "a.md", "title": "A", "media_type": "text/markdown", "size_bytes": 1, "checksum": "c",
        "modified_ns": 1, "recipe": "r", "text": "text", "status": "ready", "chunks_count": 1, "created_at": at,
        "updated_at": at,
    }  # fmt: skip
    chunk = {
        "id": new_id(), "document_id": document["id"], "ordinal": 0, "kind": "text", "start": 0, "end": 4,
        "embedding_model": "m", "embedding": b"v",
    }  # fmt: skip
    async with engine.begin() as connection:
        for name, row in (("document", document), ("chunk", chunk)):
            table = await connection.run_sync(lambda sync, name=name: Table(name, MetaData(), autoload_with=sync))
            await connection.execute(insert(table).values(**row))
    for revision, of in (("0003", "chunk_embedding"), ("0002", "chunk")):
        await (upgrade if revision == "0003" else downgrade)(url, revision)
        async with engine.connect() as connection:
            table = await connection.run_sync(lambda sync, of=of: Table(of, MetaData(), autoload_with=sync))
            assert (await connection.execute(select(table.c.embedding))).scalar_one() == b"v"


async def test_two_upgrades_at_once_take_turns(url: str, engine: AsyncEngine) -> None:
    await asyncio.gather(upgrade(url), upgrade(url))
    assert await is_current(engine)


def test_the_newest_file_is_alembics_head() -> None:
    assert script_directory().get_current_head() == newest_revision()


def script_directory() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(config)
