"""Several processes over one knowledge folder: one takes it in, and another goes on when that one is gone."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.models import SHARED
from infrastructure.database.repositories.folder_keeper import FolderKeeperRepository
from services.knowledge.folder_keeping import FolderKeeping, KeepingLost
from tests.databases import PostgresServer
from tests.services.knowledge.workers import Worker, open_worker, until

LEASE = 0.8  # seconds


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.migrated()


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(open_engine(url, pool_size=1))
    yield database
    await database.close()


async def test_one_keeps_the_folder_until_it_leaves(database: Database) -> None:
    one, other = FolderKeeping(database), FolderKeeping(database)
    first = await one.take()
    assert (first.mine, first.fresh, first.looked) == (True, True, False)
    assert not (await other.take()).mine
    assert not (await one.take()).fresh
    await other.leave()
    assert not (await other.take()).mine
    await one.leave()
    assert (await other.take()).fresh


async def test_one_that_is_silent_loses_the_folder_and_writes_nothing_more(database: Database) -> None:
    one, other = FolderKeeping(database, seconds=0.05), FolderKeeping(database)
    await one.take()
    await until(lambda: _mine(other))
    with pytest.raises(KeepingLost):
        async with database.write() as session:
            await one.hold(session)
    assert not (await one.take()).mine


async def test_one_that_says_that_it_is_there_keeps_the_folder(database: Database) -> None:
    one, other = FolderKeeping(database, seconds=1.0), FolderKeeping(database)
    await one.take()
    async with one.held():
        for _ in range(12):
            assert not (await other.take()).mine
            await asyncio.sleep(0.1)


async def test_who_wants_the_folder_read_anew_is_served_once(database: Database) -> None:
    one, other = FolderKeeping(database), FolderKeeping(database)
    keeping = await one.take()
    await one.note_look(keeping)
    await other.ask()
    keeping = await one.take()
    assert (keeping.looked, keeping.waiting) == (True, True)
    await other.ask()
    await one.note_look(keeping)
    keeping = await one.take()
    assert keeping.waiting, "the second came when the first was being served"
    await one.note_look(keeping)
    assert not (await one.take()).waiting


async def test_a_database_that_is_away_keeps_nobody_from_leaving(database: Database, url: str) -> None:
    gone = Database(open_engine(url.replace("/test_", "/none_"), pool_size=1))
    one = FolderKeeping(gone)
    one._held = True
    with capture_logs() as logs:
        await one.leave()
    assert [log["event"] for log in logs] == ["knowledge_folder_not_left"]
    await gone.close()


async def test_two_take_in_one_folder_and_each_file_is_embedded_once(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    async with open_worker(url, folder) as one, open_worker(url, folder) as other:
        for n in range(10):
            one.write(f"{n}.md", f"Number{n} stands here.")
        reports = await asyncio.gather(one.indexer.start(), other.indexer.start())
        assert sorted(len(report.added) for report in reports) == [0, 10]
        assert one.embeddings.count + other.embeddings.count == 10
        one.begin()
        other.begin()
        one.write("walrus.md", "The walrus is called Theodore.")
        await one.sees("walrus", "walrus.md")
        await other.sees("walrus", "walrus.md")
        assert one.embeddings.count + other.embeddings.count == 11
        for worker in (one, other):
            assert await worker.found("Number7") == ["7.md"]
            assert worker.search.size == 11


async def test_ready_is_said_when_somebody_has_taken_in_the_folder(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    async with open_worker(url, folder) as one, open_worker(url, folder) as other:
        one.write("walrus.md", "The walrus is called Theodore.")
        begun, go_on = asyncio.Event(), asyncio.Event()
        embed = one.embeddings.embed

        async def slow(texts: list[str], *args: object) -> object:
            if texts:
                begun.set()
                await go_on.wait()
            return await embed(texts, *args)

        one.embeddings.embed = slow  # type: ignore[method-assign]
        first = asyncio.create_task(one.indexer.start())
        await begun.wait()
        second = asyncio.create_task(other.indexer.start())
        assert not (await other.indexer.sync()).looked
        assert not other.indexer.loaded
        go_on.set()
        await asyncio.gather(first, second)
        assert other.indexer.loaded
        await other.follower.look()
        assert await other.found("walrus") == ["walrus.md"]


@pytest.mark.parametrize("backend", ["embedded", "postgres"])
async def test_when_the_one_who_keeps_it_dies_another_goes_on(url: str, tmp_path: Path, backend: str) -> None:
    folder = tmp_path / "folder"
    options = {"lease": LEASE, "postgres": backend == "postgres"}
    async with open_worker(url, folder, **options) as one, open_worker(url, folder, **options) as other:
        one.write("cow.md", "The cow is called Berta.")
        await one.indexer.start()
        await other.indexer.start()
        one.begin()
        other.begin()
        await other.sees("cow", "cow.md")
        publish, reached = one.indexer._publish, asyncio.Event()

        async def killed() -> None:  # between the database and the index
            if one.indexer._pending.generation is not None:
                reached.set()
                await asyncio.Event().wait()
            await publish()

        one.indexer._publish = killed  # type: ignore[method-assign]
        one.write("walrus.md", "The walrus is called Theodore.")
        await reached.wait()
        await one.die()
        one.write("penguin.md", "The penguin is called Paulina.")
        await other.sees("penguin", "penguin.md")
        await other.sees("walrus", "walrus.md")
        assert other.embeddings.count == 1, "the walrus was embedded before"
        if backend == "postgres":
            assert await other.search.version([SHARED]) is not None, "the tables are known to be whole"


async def test_one_that_has_lost_the_folder_does_not_disturb_the_other(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    async with open_worker(url, folder, lease=LEASE) as one, open_worker(url, folder) as other:
        await one.indexer.start()
        embed, stuck, go_on = one.embeddings.embed, asyncio.Event(), asyncio.Event()

        async def slow(texts: list[str], *args: object) -> object:
            if texts:
                stuck.set()
                await go_on.wait()
            return await embed(texts, *args)

        one.embeddings.embed = slow  # type: ignore[method-assign]
        one.indexer._keeping.pause = 3600  # it says no more that it is there
        one.write("walrus.md", "The walrus is called Theodore.")
        late = asyncio.create_task(one.indexer.sync())
        await stuck.wait()
        await until(lambda: _takes_in(other))
        go_on.set()
        report = await late
        assert (report.elsewhere, report.added) == (True, [])
        await one.follower.look()
        assert await one.found("walrus") == ["walrus.md"]
        async with other.database.read() as session:
            assert (await session.execute(text("SELECT count(*) FROM document"))).scalar_one() == 1


async def test_who_has_no_folder_leaves_it_to_others(url: str, tmp_path: Path) -> None:
    async with open_worker(url, tmp_path / "none") as one, open_worker(url, tmp_path / "folder") as other:
        await one.indexer.sync()
        os.rmdir(one.folder)
        other.write("walrus.md", "The walrus is called Theodore.")
        assert (await other.indexer.sync()).elsewhere
        assert (await one.indexer.start()).elsewhere
        assert one.indexer.loaded
        assert (await other.indexer.sync()).added == ["walrus.md"]


async def test_tables_that_lack_something_are_mended(url: str, tmp_path: Path) -> None:
    async with open_worker(url, tmp_path / "folder", postgres=True, lease=0.2) as one:
        await one.indexer.start()
        one.begin()
        await one.add(SHARED, "walrus.txt", "The walrus is called Theodore.", publish=False)
        one.write("cow.md", "The cow is called Berta.")
        await one.sees("cow", "cow.md")
        await until(lambda: _is_whole(one))


async def test_reindexing_is_asked_of_whoever_keeps_the_folder(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    async with open_worker(url, folder, lease=LEASE) as one, open_worker(url, folder, lease=LEASE) as other:
        one.write("walrus.md", "The walrus is called Theodore.")
        await one.indexer.start()
        await other.indexer.start()
        one.begin()
        other.begin()
        other.indexer.reindex()
        await until(lambda: _generation(one, 2))
        assert (one.embeddings.count, other.embeddings.count) == (2, 0)
        await until(lambda: _served(one))


async def test_keeping_goes_on_when_the_database_is_back(url: str, tmp_path: Path) -> None:
    async with open_worker(url, tmp_path / "folder", lease=0.2) as one:
        await one.indexer.start()
        take, refused = one.indexer._keeping.take, asyncio.Event()

        async def away() -> object:
            if not refused.is_set():
                refused.set()
                raise ConnectionRefusedError
            return await take()

        one.indexer._keeping.take = away  # type: ignore[method-assign, assignment]
        with capture_logs() as logs:
            one.begin(one.indexer._keep())
            await refused.wait()
            await until(lambda: _mine(one.indexer._keeping))
        assert logs[0]["event"] == "knowledge_folder_not_kept"


async def _mine(keeping: FolderKeeping) -> bool:
    return (await keeping.take()).mine


async def _takes_in(worker: Worker) -> bool:
    return (await worker.indexer.sync()).added == ["walrus.md"]


async def _generation(worker: Worker, wanted: int) -> bool:
    return await worker.generation() == wanted


async def _is_whole(worker: Worker) -> bool:
    return await worker.search.version([SHARED]) is not None


async def _served(worker: Worker) -> bool:
    async with worker.database.read() as session:
        row = await FolderKeeperRepository(session).row()
    return row.asked == row.done == 1
