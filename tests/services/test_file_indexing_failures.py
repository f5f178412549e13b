"""Uploads that cannot be indexed, now or ever: what they become, and that the others go on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.models import Chunk, Document, File
from infrastructure.errors import (
    KnowledgeError,
    ProviderRejected,
    ProviderUnavailable,
    ReadingInterrupted,
    StorageUnavailable,
)
from infrastructure.storage.local import LocalStorage
from services.file_indexing import FileIndexing
from tests.databases import migrated_url
from tests.services.chat_rows import START
from tests.services.file_indexing_parts import Gate, Setup, finished, text_of


@pytest.fixture
async def it(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Setup]:
    database = Database(open_engine(migrated_url("sqlite", request, tmp_path)))
    yield Setup(database, await LocalStorage.open(tmp_path / "files"), tmp_path)
    await database.close()


def raising(error: Exception) -> Callable[[], Awaitable[None]]:
    async def raises() -> None:
        raise error

    return raises


async def failed(it: Setup, file_id: str) -> str | None:
    """Why a file has failed; it has nothing in the database then."""
    file = await it.file(file_id)
    assert file is not None
    assert (file.status, file.stage, file.worker, file.chunks_count) == ("failed", None, None, 0)
    assert file.finished_at == it.clock()
    assert (await it.count(Document), await it.count(Chunk)) == (0, 0)
    return file.error_message


async def test_a_file_that_cannot_be_read_fails_at_once_with_the_reason(it: Setup) -> None:
    it.reading.before = raising(KnowledgeError("it is encrypted"))
    file_id = await it.upload("One.")
    assert await finished(it.worker()) == 1
    assert await failed(it, file_id) == "it is encrypted"


async def test_bytes_that_are_gone_fail_the_file(it: Setup) -> None:
    file_id = await it.upload("One.")
    await it.storage.delete(f"files/{file_id}")
    await finished(it.worker())
    assert await failed(it, file_id) == "No such file."


async def test_a_model_that_refuses_fails_the_file(it: Setup) -> None:
    it.embedder.before = raising(ProviderRejected("The embedding model refused."))
    file_id = await it.upload(text_of(20))
    await finished(it.worker())
    assert await failed(it, file_id) == "The embedding model refused."


@pytest.mark.parametrize("error", [ReadingInterrupted("Cut off."), StorageUnavailable("Away."), OSError("disk full")])
async def test_what_passes_is_tried_again_later_and_later_and_then_no_more(it: Setup, error: Exception) -> None:
    it.reading.before = raising(error)
    file_id, worker = await it.upload("One."), it.worker()
    for seconds in (4, 8, 16):
        assert await finished(worker) == 1
        file = await it.file(file_id)
        assert file is not None
        assert (file.status, file.stage, file.worker) == ("uploaded", None, None)
        assert file.retry_at == it.clock() + timedelta(seconds=seconds)
        it.clock.pass_by(seconds=seconds)
    assert await finished(worker) == 1
    reason = await failed(it, file_id)
    assert reason is not None
    assert reason.startswith("Given up after 4 attempts: ")
    assert "disk full" not in reason


async def test_a_try_after_a_failure_ends_well(it: Setup) -> None:
    said = text_of(20)

    async def fails_at_the_third() -> None:
        if len(it.embedder.batches) == 3:
            raise ProviderUnavailable("Away.")

    it.embedder.before = fails_at_the_third
    file_id, worker = await it.upload(said), it.worker()
    assert await finished(worker) == 1
    assert await it.state(file_id) == ("uploaded", None, 0, None)
    it.clock.pass_by(seconds=4)
    assert await finished(worker) == 1
    assert await it.document(file_id) == ("ready", said, 20)
    assert [ordinal for ordinal, *_ in await it.chunks(file_id)] == list(range(20))
    assert len(it.found(file_id)) == 20


async def test_an_index_that_fails_makes_it_no_file_that_cannot_be_found(it: Setup) -> None:
    it.index.before = raising(ProviderUnavailable("Away."))
    file_id, worker = await it.upload(text_of(20)), it.worker()
    assert await finished(worker) == 1
    assert (await it.state(file_id))[0] == "uploaded"
    it.index.before = None
    it.clock.pass_by(seconds=4)
    assert await finished(worker) == 1
    assert (await it.state(file_id))[0] == "ready"
    assert len(it.found(file_id)) == len(await it.chunks(file_id)) == 20


async def test_a_failure_of_a_file_that_was_ready_withdraws_it(it: Setup) -> None:
    file_id = await it.upload(text_of(20))
    await finished(it.worker())
    async with it.database.write() as session:
        (await session.get_one(File, file_id)).status = "uploaded"
    it.reading.before = raising(KnowledgeError("it is damaged"))
    await finished(it.worker())
    assert await failed(it, file_id) == "it is damaged"
    assert it.found(file_id) == []


async def test_a_bug_fails_its_file_is_logged_without_a_word_of_it_and_holds_up_no_other(it: Setup) -> None:
    async def breaks() -> None:
        it.reading.before = None
        raise ZeroDivisionError("canary")

    it.reading.before = breaks
    broken, fine = await it.upload("canary", name="canary.txt"), await it.upload("Fine.")
    with capture_logs() as logs:
        assert await finished(it.worker()) == 2
    assert (await it.state(fine))[0] == "ready"
    file = await it.file(broken)
    assert file is not None
    assert (file.status, file.error_message) == ("failed", "It could not be read.")
    line = next(line for line in logs if line["event"] == "file_indexing_failed")
    assert line["file"] == broken
    assert line["error"].startswith("ZeroDivisionError at test_file_indexing_failures.py:")
    assert "canary" not in str(logs)


async def test_a_file_that_ends_the_service_each_time_is_given_up(it: Setup) -> None:
    file_id = await it.upload("One.", status="processing", worker="dead", leased_until=START, attempts=4)
    await finished(it.worker())
    assert await failed(it, file_id) == "Given up after 4 attempts: the service ended each time"
    assert it.reading.paths == []


async def test_at_the_services_end_a_file_goes_back_and_its_attempt_does_not_count(it: Setup) -> None:
    it.reading.before = gate = Gate()
    file_id = await it.upload("One.")
    async with background(it.worker()) as running:
        await gate.wait()
        running.cancel()
    file = await it.file(file_id)
    assert file is not None
    assert (file.status, file.attempts, file.worker, file.retry_at) == ("uploaded", 0, None, None)
    assert not any((it.folder / "temporary").iterdir())


async def test_with_sqlite_what_was_being_read_at_the_start_was_left_by_a_dead_process(it: Setup) -> None:
    later = START + timedelta(hours=1)
    file_id = await it.upload("One.", status="processing", worker="dead", leased_until=later, attempts=1)
    temporary = it.folder / "temporary"
    temporary.mkdir()
    (temporary / "dead").write_text("One.")
    await it.worker(sole=False).begin()
    assert (temporary / "dead").exists()
    assert await finished(it.worker()) == 0
    await it.worker().begin()
    assert not (temporary / "dead").exists()
    assert await finished(it.worker()) == 1
    assert (await it.state(file_id))[0] == "ready"


@contextlib.asynccontextmanager
async def background(indexing: FileIndexing) -> AsyncIterator[asyncio.Task[None]]:
    """`run` as the service runs it."""
    task = asyncio.create_task(indexing.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def ready(it: Setup, *file_ids: str) -> None:
    """Ask until files are ready, as a client does."""
    async with asyncio.timeout(10):
        for file_id in file_ids:
            state = ""
            while state != "ready":
                state, *_ = await it.state(file_id)


async def test_a_file_that_comes_wakes_the_worker(it: Setup) -> None:
    indexing = it.worker(concurrency=2)
    async with background(indexing):
        first = await it.upload("One.")
        indexing.wake()
        await ready(it, first)
        second = await it.upload("Two.")
        indexing.wake()
        await ready(it, second)


async def test_a_retry_that_is_due_needs_no_waking(it: Setup) -> None:
    file_id = await it.upload("One.", retry_at=START + timedelta(seconds=0.2))
    async with background(it.worker()):
        asyncio.get_running_loop().call_later(0.1, lambda: it.clock.pass_by(seconds=0.2))
        await ready(it, file_id)


async def test_a_database_that_is_away_at_the_start_is_waited_for(it: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.file_indexing._AWAY_SECONDS", 0.01)
    file_id = await it.upload("One.")
    async with it.database.write() as session:
        await session.connection()
        statement = "ALTER TABLE file RENAME TO elsewhere"
        await (await session.connection()).exec_driver_sql(statement)
    with capture_logs() as logs:
        async with background(it.worker()):
            async with asyncio.timeout(10), it.database.read() as session:
                while not logs:
                    await session.execute(text("SELECT 1"))
            async with it.database.write() as session:
                await (await session.connection()).exec_driver_sql("ALTER TABLE elsewhere RENAME TO file")
            await ready(it, file_id)
    assert {line["event"] for line in logs} == {"file_indexing_waits", "file_indexed"}
