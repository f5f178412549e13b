"""Several processes over one PostgreSQL: what one changes, each finds."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from structlog.testing import capture_logs

from infrastructure.database.models import SHARED
from infrastructure.database.postgres_writer import PostgresWriter
from infrastructure.database.repositories.knowledge import KnowledgeRepository
from infrastructure.database.repositories.partitions import PartitionRepository
from services.knowledge.following import KnowledgeFollower
from services.knowledge.versions import KnowledgeVersions
from tests.databases import PostgresServer
from tests.services.knowledge.workers import Worker, open_worker, until

ANNA = "0199f3a0-0000-7000-8000-00000000000a"


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.migrated()


@pytest.fixture
def another_url(postgres: PostgresServer) -> str:
    return postgres.migrated()


@pytest.fixture
async def two(url: str, tmp_path: Path) -> AsyncIterator[tuple[Worker, Worker]]:
    """Two that have started over an empty folder; the first one takes it in."""
    async with open_worker(url, tmp_path / "folder") as one, open_worker(url, tmp_path / "folder") as other:
        await one.indexer.start()
        await other.indexer.start()
        yield one, other


async def test_a_file_that_one_takes_in_is_found_by_the_other(two: tuple[Worker, Worker]) -> None:
    one, other = two
    other.begin(other.follower.run())
    path = one.write("walrus.md", "The walrus is called Theodore.")
    await one.indexer.sync()
    await other.sees("walrus", "walrus.md")
    assert [document.name for document in await other.library.list_documents()] == ["walrus.md"]
    path.write_text("The penguin is called Paulina.")
    await one.indexer.sync()
    await other.sees("penguin", "walrus.md")
    assert await other.found("walrus") == []
    path.unlink()
    await one.indexer.sync()
    await other.misses("penguin", "walrus.md")
    await until(lambda: _is(other.library.list_documents(), []))
    assert other.embeddings.count == 0, "what is in the database is embedded already"


async def test_only_what_has_changed_is_read(two: tuple[Worker, Worker]) -> None:
    one, other = two
    for name in ("ants", "bees", "cows"):
        one.write(f"{name}.md", f"All about {name}.")
    await one.indexer.sync()
    await other.follower.look()
    read: list[list[str]] = []
    chunks_of = KnowledgeRepository.chunks_of

    async def noted(self: KnowledgeRepository, ids: list[str], model: str) -> list[object]:
        read.append(ids)
        return await chunks_of(self, ids, model)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KnowledgeRepository, "chunks_of", noted)
        one.write("bees.md", "Bees make honey.")
        await one.indexer.sync()
        await other.follower.look()
        await one.follower.look()
    (bees,) = [document.id for document in await other.library.list_documents() if document.name == "bees.md"]
    assert read == [[bees]]
    assert await other.found("honey") == ["bees.md"]
    assert other.search.held() == one.search.held() == {SHARED: 4}


async def test_curated_questions_come_over_too(two: tuple[Worker, Worker]) -> None:
    one, other = two
    one.write("qa.json", json.dumps([{"question": "When is the desk open?", "answer": "From nine."}]))
    await one.indexer.sync()
    await other.follower.look()
    found = (await other.search.search("When is the desk open?")).curated
    assert found is not None
    assert found.answer == "From nine."
    one.write("qa.json", json.dumps([{"question": "When is lunch?", "answer": "At noon."}]))
    await one.indexer.sync()
    await other.follower.look()
    assert (await other.search.search("When is the desk open?")).curated is None


async def test_an_owners_file_is_found_by_the_next_search_of_any_process(two: tuple[Worker, Worker]) -> None:
    one, other = two
    document = await one.add(ANNA, "walrus.txt", "The walrus is called Theodore.")
    assert await other.found("walrus", ANNA) == ["walrus.txt"]
    await one.add(ANNA, "penguin.txt", "The penguin is called Paulina.")
    assert await other.found("penguin", ANNA) == ["penguin.txt"], "without a look of the follower between"
    await one.remove(ANNA, document)
    assert "walrus.txt" not in await other.found("walrus", ANNA)
    assert await one.found("penguin", ANNA) == ["penguin.txt"]


async def test_the_follower_brings_owners_partitions_that_are_in_memory(two: tuple[Worker, Worker]) -> None:
    one, other = two
    await one.add(ANNA, "walrus.txt", "The walrus is called Theodore.")
    await other.found("walrus", ANNA)
    await one.add(ANNA, "penguin.txt", "The penguin is called Paulina.")
    version = await other.search.version([ANNA])
    await other.follower.look()
    assert other.search.held()[ANNA] == 2
    assert await other.search.version([ANNA]) != version


async def test_a_partition_that_is_gone_leaves_memory(two: tuple[Worker, Worker]) -> None:
    one, other = two
    document = await one.add(ANNA, "walrus.txt", "The walrus is called Theodore.")
    await other.found("walrus", ANNA)
    async with one.database.write() as session:
        await KnowledgeRepository(session).remove(document)
        await KnowledgeRepository(session).next_generation(ANNA, [document])
        await PartitionRepository(session).forget([ANNA])
    await other.follower.look()
    assert ANNA not in other.search.held()
    assert await other.found("walrus", ANNA) == []


async def test_changes_that_are_not_written_down_have_everything_read_anew(two: tuple[Worker, Worker]) -> None:
    one, other = two
    await one.add(ANNA, "walrus.txt", "The walrus is called Theodore.")
    await one.add(SHARED, "cow.txt", "The cow is called Berta.")
    await other.found("walrus", ANNA)
    await other.follower.look()
    await one.add(ANNA, "penguin.txt", "The penguin is called Paulina.")
    await one.add(SHARED, "goat.txt", "The goat is called Zita.")
    async with one.database.write() as session:
        await session.execute(text("DELETE FROM partition_change"))
    await other.follower.look()
    assert ANNA not in other.search.held()
    assert await other.found("penguin", ANNA) == ["penguin.txt"]
    assert await other.found("goat") == ["goat.txt"]
    assert other.search.held() == {SHARED: 2, ANNA: 2}


async def test_a_change_that_is_late_does_not_bring_back_what_another_has_removed(two: tuple[Worker, Worker]) -> None:
    one, _ = two
    before = one.search
    document = await one.add(SHARED, "walrus.txt", "The walrus is called Theodore.", publish=False)
    (record,) = (await one.source.of_documents(await _documents(one)))[0]
    async with one.database.write() as session:
        await KnowledgeRepository(session).remove(document)
        await KnowledgeRepository(session).next_generation(SHARED, [document])
    await one.follower.look()
    vectors = await one.embeddings.embed([record.text])
    await before.replace(SHARED, [], [record], vectors, generation=1)
    assert await one.found("walrus") == []
    assert before.held() == {SHARED: 2}


async def test_changes_out_of_turn_all_arrive(two: tuple[Worker, Worker]) -> None:
    one, other = two
    await other.add(SHARED, "cow.txt", "The cow is called Berta.")
    await one.add(SHARED, "goat.txt", "The goat is called Zita.")
    assert one.search.held() == {SHARED: 0}, "its own is the second change, and the first has not come"
    assert one.search.lexical_generation == 0, "so that a restart builds it anew"
    await one.follower.look()
    await other.follower.look()
    for worker in two:
        assert worker.search.held() == {SHARED: 2}
        assert worker.search.lexical_generation == 2
        assert await worker.found("cow") == ["cow.txt"]
        assert await worker.found("goat") == ["goat.txt"]


async def test_many_changes_come_in_parts(two: tuple[Worker, Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = two
    for n in range(12):
        await one.add(SHARED, f"{n}.txt", f"Number{n} stands here.", publish=False)
    monkeypatch.setattr("services.knowledge.stored._CHANGES_AT_ONCE", 5)
    monkeypatch.setattr("services.knowledge.stored._CHUNKS_A_BATCH", 3)
    await other.follower.look()
    assert other.search.held() == {SHARED: 12}
    assert await other.found("Number0") == ["0.txt"]
    assert await other.found("Number11") == ["11.txt"]


async def test_what_nobody_embedded_is_found_by_words_and_called_for(two: tuple[Worker, Worker]) -> None:
    one, other = two
    await one.add(SHARED, "walrus.txt", "The walrus is called Theodore.", publish=False)
    async with one.database.write() as session:
        await session.execute(text("DELETE FROM chunk_embedding"))
    await other.follower.look()
    assert await other.found("walrus") == ["walrus.txt"]
    assert other.search.lacking.is_set()


async def test_a_follower_goes_on_when_the_database_is_back(two: tuple[Worker, Worker]) -> None:
    one, other = two
    looks, away = 0, True
    look = other.follower.look

    async def counted() -> None:
        nonlocal looks
        looks += 1
        await look()

    other.follower.look = counted  # type: ignore[method-assign]
    engine, lean = other.database.engine, cast(PostgresWriter, other.database._lean)
    broken, broken_lean = engine.dialect.connect, lean._connect

    def refuse(*args: object, **options: object) -> object:
        if away:
            raise ConnectionRefusedError
        return broken(*args, **options)

    async def refuse_lean(*args: object, **options: object) -> object:
        if away:
            raise ConnectionRefusedError
        return await broken_lean(*args, **options)

    engine.dialect.connect = refuse  # type: ignore[method-assign]
    lean._connect = refuse_lean  # type: ignore[method-assign]
    await other.database.close()
    lean._pool = None
    with pytest.raises(SQLAlchemyError):
        await look()
    with capture_logs() as logs:
        other.begin(other.follower.run())
        await until(lambda: _truth(looks >= 3))
    assert [log["event"] for log in logs] == ["knowledge_not_followed"], "said once"
    await one.add(SHARED, "walrus.txt", "The walrus is called Theodore.")
    away = False
    await other.sees("walrus", "walrus.txt")


async def test_news_have_it_look_at_once(two: tuple[Worker, Worker]) -> None:
    one, other = two
    follower = KnowledgeFollower(other.database, other.search, other.library, seconds=3600)
    other.begin(follower.run())
    one.indexer.on_published = follower.wake
    one.write("walrus.md", "The walrus is called Theodore.")
    await one.indexer.sync()
    await other.sees("walrus", "walrus.md")


async def test_a_fault_does_not_end_the_following(two: tuple[Worker, Worker]) -> None:
    one, other = two
    bring, failed = other.search.bring, asyncio.Event()

    async def fails_once(partition: str) -> None:
        if not failed.is_set():
            failed.set()
            raise ZeroDivisionError
        await bring(partition)

    other.search.bring = fails_once  # type: ignore[method-assign]
    other.begin(other.follower.run())
    await one.add(SHARED, "walrus.txt", "The walrus is called Theodore.")
    await other.sees("walrus", "walrus.txt")
    assert failed.is_set()


async def test_an_answers_version_changes_with_another_process(two: tuple[Worker, Worker]) -> None:
    one, other = two
    versions = KnowledgeVersions(other.database, other.search)
    first = await versions.of([SHARED])
    await one.add(SHARED, "walrus.txt", "The walrus is called Theodore.")
    second = await versions.of([SHARED])
    await other.follower.look()
    third = await versions.of([SHARED])
    assert len({first, second, third}) == 3, "an answer from between the change and its arrival holds for neither"


async def test_a_search_waits_no_longer_for_others_than_it_may(
    two: tuple[Worker, Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two
    await one.add(ANNA, "walrus.txt", "The walrus is called Theodore.")
    await other.found("walrus", ANNA)
    stuck = asyncio.Event()

    async def never(names: list[str]) -> dict[str, int]:
        await stuck.wait()
        raise SQLAlchemyError

    monkeypatch.setattr(other.source, "generations", never)
    monkeypatch.setattr("services.knowledge.search.FRESH_SECONDS", 0.01)
    assert await other.found("walrus", ANNA) == ["walrus.txt"]
    stuck.set()
    monkeypatch.setattr("services.knowledge.search.FRESH_SECONDS", 5.0)
    with capture_logs() as logs:
        assert await other.found("walrus", ANNA) == ["walrus.txt"]
    assert "owners' files may be outdated" in [log["event"] for log in logs]


async def test_a_restart_takes_in_what_came_meanwhile_without_building_anew(url: str, tmp_path: Path) -> None:
    folder, index = tmp_path / "folder", tmp_path / "index"
    async with open_worker(url, folder) as one:
        await one.indexer.start()
        for n in range(5):
            await one.add(SHARED, f"{n}.txt", f"Number{n} stands here.")
        gone = await one.add(SHARED, "walrus.txt", "The walrus is called Theodore.")
        async with open_worker(url, folder, index) as other:
            await other.load()
            assert await other.found("walrus") == ["walrus.txt"]
        await one.remove(SHARED, gone)
        await one.add(SHARED, "penguin.txt", "The penguin is called Paulina.")
        async with open_worker(url, folder, index) as other:
            assert other.search.lexical_generation == 6
            loaded = []
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("infrastructure.lexical.tantivy.LexicalWriter.remove_all", loaded.append)
                await other.load()
            assert loaded == []
            assert await other.found("penguin") == ["penguin.txt"]
            assert await other.found("walrus") == []
            assert await other.found("Number3") == ["3.txt"]
            assert other.search.lexical_generation == 8


async def test_an_index_of_another_database_is_built_anew(url: str, another_url: str, tmp_path: Path) -> None:
    index = tmp_path / "index"
    async with open_worker(another_url, tmp_path / "folder", index) as one:
        await one.indexer.start()
        for n in range(2):
            await one.add(SHARED, f"{n}.txt", f"Number{n} stands here.")
    async with open_worker(url, tmp_path / "folder", index) as other:
        await other.add(SHARED, "one.txt", "A single text.", "And another part of it.", publish=False)
        await other.add(SHARED, "two.txt", "A second one.", publish=False)
        await other.load()
        assert await other.found("Number1") == []
        assert await other.found("part") == ["one.txt"]


async def test_with_sqlite_there_is_nobody_to_follow(tmp_path: Path, sqlite_template: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "test.db")
    async with open_worker(f"sqlite:///{tmp_path}/test.db", tmp_path / "folder") as alone:
        alone.write("walrus.md", "The walrus is called Theodore.")
        await alone.indexer.start()
        await alone.follower.run()
        assert await alone.found("walrus") == ["walrus.md"]
        async with alone.database.read() as session:
            for table in ("partition_change", "folder_keeper"):
                assert (await session.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one() == 0  # noqa: S608


async def _is(wanted: object, value: object) -> bool:
    return await wanted == value  # type: ignore[misc]


async def _truth(value: bool) -> bool:
    return value


async def _documents(worker: Worker) -> list[object]:
    async with worker.database.read() as session:
        return await KnowledgeRepository(session).documents()  # type: ignore[return-value]
