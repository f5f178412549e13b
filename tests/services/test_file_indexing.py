"""Uploads become searchable: whole, in order, once, and only while they are there."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import delete

from infrastructure.database.engine import Database
from infrastructure.database.models import Chunk, ChunkEmbedding, Document, File
from infrastructure.errors import ProviderUnavailable
from infrastructure.storage.local import LocalStorage
from services.knowledge.chunk import chunk
from services.knowledge.extract import extract
from services.serving_model import WORDS_ONLY
from tests.services.chat_rows import START, add_user
from tests.services.file_indexing_parts import CHUNK_CHARS, Gate, LengthEmbedder, Setup, finished, text_of


@pytest.fixture
async def it(database: Database, tmp_path: Path) -> Setup:
    return Setup(database, await LocalStorage.open(tmp_path / "files"), tmp_path)


def expected(text: str) -> list[tuple[int, int, int]]:
    pieces = chunk(extract("notes.txt", text.encode()), CHUNK_CHARS, 0)
    return [(n, piece.start, piece.end) for n, piece in enumerate(pieces)]


async def test_a_file_becomes_ready_with_every_chunk_at_its_place(it: Setup) -> None:
    owner, text = await add_user(it.database), text_of(20)
    file_id = await it.upload(text, owner, name="Long day.txt")
    it.clock.pass_by(seconds=5)
    assert await finished(it.worker()) == 1
    places = expected(text)
    assert len(places) == 20
    assert await it.document(file_id) == ("ready", text, 20)
    assert await it.chunks(file_id) == places
    file = await it.file(file_id)
    assert file is not None
    assert (file.status, file.stage, file.chunks_processed, file.total_chunks_expected, file.chunks_count) == (
        "ready", None, 20, 20, 20,
    )  # fmt: skip
    assert (file.worker, file.leased_until, file.error_message) == (None, None, None)
    assert file.started_at == file.finished_at == it.clock()
    assert it.embedder.batches == [8, 8, 4]


async def test_what_is_found_is_what_the_database_has(it: Setup) -> None:
    owner, text = await add_user(it.database), text_of(20)
    file_id = await it.upload(text, owner)
    await finished(it.worker())
    assert it.found(owner) == [text[start:end] for _, start, end in expected(text)]
    assert it.index.vectors == await it.embeddings(file_id)
    assert {record.document_id for record in it.index.parts[owner].values()} == {file_id}
    assert it.index.generations == {owner: 1}


async def test_an_anonymous_file_is_in_a_partition_of_its_own(it: Setup) -> None:
    one, two = await it.upload("One."), await it.upload("Two.")
    await finished(it.worker())
    assert it.index.parts.keys() == {one, two}
    assert (it.found(one), it.found(two)) == (["One."], ["Two."])


async def test_ready_is_not_said_before_the_next_search_finds_it(it: Setup) -> None:
    gate = Gate()
    it.index.before = gate
    file_id = await it.upload(text_of(20))
    working = asyncio.create_task(it.worker().index_one())
    await gate.wait()
    assert await it.state(file_id) == ("processing", "saving", 20, 20)
    gate.opened.set()
    assert await working
    assert await it.state(file_id) == ("ready", None, 20, 20)
    assert len(it.found(file_id)) == 20


async def test_progress_is_seen_while_it_goes_on(it: Setup) -> None:
    gate, file_id = Gate(), await it.upload(text_of(40))
    it.reading.before = gate
    working = asyncio.create_task(it.worker().index_one())
    await gate.wait()
    assert await it.state(file_id) == ("processing", "reading", 0, None)
    embedding = Gate()

    async def stop_at_the_last() -> None:
        if len(it.embedder.batches) == 5:
            await embedding()

    it.embedder.before = stop_at_the_last
    gate.opened.set()
    await embedding.wait()
    async with asyncio.timeout(10):
        while (state := await it.state(file_id)) != ("processing", "embedding", 32, 40):
            assert state[:2] == ("processing", "embedding")
    assert await it.document(file_id) == ("indexing", text_of(40), 0)
    embedding.opened.set()
    assert await working


async def test_a_second_name_for_the_bytes_is_removed_when_they_were_read(it: Setup) -> None:
    await it.upload("One.")
    await finished(it.worker())
    assert [path.parent for path in it.reading.paths] == [it.folder / "temporary"]
    assert not any((it.folder / "temporary").iterdir())


async def test_read_anew_a_file_loses_its_old_chunks_everywhere(it: Setup) -> None:
    owner = await add_user(it.database)
    file_id = await it.upload(text_of(20), owner)
    other = await it.upload("Another file.", owner)
    await finished(it.worker())
    old = await it.chunks(file_id)
    async with it.database.write() as session:
        file = await session.get_one(File, file_id)
        file.status, file.stage = "uploaded", None
    await finished(it.worker())
    assert await it.chunks(file_id) == old
    assert len(it.found(owner)) == 21
    assert {record.document_id for record in it.index.parts[owner].values()} == {file_id, other}
    assert await it.count(Chunk) == await it.count(ChunkEmbedding) == 21
    assert it.index.generations[owner] == 4  # two files came, one was withdrawn and came again


@pytest.mark.parametrize("status", ["indexing", "ready"])
async def test_what_a_dead_worker_left_is_removed_before_it_is_begun_anew(it: Setup, status: str) -> None:
    text = text_of(20)
    file_id = await it.upload(text, status="processing", worker="dead", leased_until=START, attempts=1)
    async with it.database.write() as session:
        session.add(
            Document(
                id=file_id, file_id=file_id, partition=file_id, name="notes.txt", title="", media_type="text/plain",
                size_bytes=1, checksum="", modified_ns=0, recipe="", text="Something else.", status=status,
                chunks_count=0, created_at=START, updated_at=START,
            )
        )  # fmt: skip
        await session.flush()
        session.add_all(Chunk(document_id=file_id, ordinal=n, kind="text", start=0, end=9) for n in range(12))
    await finished(it.worker())
    assert await it.document(file_id) == ("ready", text, 20)
    assert await it.chunks(file_id) == expected(text)
    assert len(it.found(file_id)) == 20


@pytest.mark.parametrize("stage", ["reading", "embedding", "saving"])
async def test_a_file_that_is_deleted_meanwhile_leaves_nothing(it: Setup, stage: str) -> None:
    async def deletes() -> None:
        async with it.database.write() as session:
            await session.execute(delete(File).where(File.id == file_id))

    file_id = await it.upload(text_of(20))
    kept = await it.upload("Another file.")
    if stage == "reading":
        it.reading.before = deletes
    elif stage == "embedding":
        it.embedder.before = deletes
    else:
        it.index.before = deletes
    worker = it.worker()
    assert await worker.index_one()
    it.reading.before = it.embedder.before = it.index.before = None
    assert await finished(worker) == 1
    assert (await it.count(File), await it.count(Document), await it.count(Chunk)) == (1, 1, 1)
    assert await it.count(ChunkEmbedding) == 1
    assert (it.found(file_id), it.found(kept)) == ([], ["Another file."])


async def test_a_worker_whose_file_was_taken_over_does_no_harm(it: Setup) -> None:
    """It was so slow that its lease ended; the other one has finished when it goes on."""
    gate, text = Gate(), text_of(20)
    file_id = await it.upload(text)

    async def stop_at_the_second() -> None:
        if len(it.embedder.batches) == 2:
            await gate()

    it.embedder.before = stop_at_the_second
    slow = asyncio.create_task(it.worker(lease_seconds=3000).index_one())  # its heartbeats go by the real clock
    await gate.wait()
    async with asyncio.timeout(10):
        while (await it.state(file_id))[2] != 8:  # the first batch is saved beside it, and would hold the file's row
            """Look again."""
    it.clock.pass_by(seconds=3001)
    assert await finished(it.worker()) == 1
    gate.opened.set()
    assert await slow
    file = await it.file(file_id)
    assert file is not None
    assert (file.status, file.attempts) == ("ready", 2)
    assert await it.chunks(file_id) == expected(text)
    assert len(it.found(file_id)) == 20
    assert it.index.vectors == await it.embeddings(file_id)


async def test_a_lease_lasts_as_long_as_the_work(it: Setup) -> None:
    gate = Gate()
    it.reading.before = gate
    file_id = await it.upload("One.")
    working = asyncio.create_task(it.worker(lease_seconds=0.03).index_one())
    await gate.wait()
    it.clock.pass_by(seconds=100)
    async with asyncio.timeout(10):
        while True:
            file = await it.file(file_id)
            assert file is not None
            assert file.leased_until is not None
            if file.leased_until > it.clock():
                break
    gate.opened.set()
    assert await working
    assert (await it.state(file_id))[0] == "ready"


async def test_reading_ends_when_the_file_is_deleted(it: Setup) -> None:
    it.reading.before = gate = Gate()  # and is never opened
    file_id = await it.upload("One.")
    working = asyncio.create_task(it.worker(lease_seconds=0.03).index_one())
    await gate.wait()
    async with it.database.write() as session:
        await session.execute(delete(File).where(File.id == file_id))
    async with asyncio.timeout(10):
        assert await working
    assert await it.count(Document) == 0


async def test_a_file_without_chunks_is_ready_too(it: Setup) -> None:
    file_id = await it.upload("")
    await finished(it.worker())
    assert await it.state(file_id) == ("ready", None, 0, 0)


async def test_without_a_model_a_file_is_ready_for_words_and_no_vectors_are_kept(it: Setup) -> None:
    it.embedder = LengthEmbedder(WORDS_ONLY)
    file_id = await it.upload(text_of(20))
    await finished(it.worker())
    assert await it.state(file_id) == ("ready", None, 20, 20)
    assert (len(it.found(file_id)), await it.embeddings(file_id)) == (20, {})


async def test_when_a_batch_fails_those_begun_ahead_are_ended(it: Setup) -> None:
    async def first_fails_and_others_hang() -> None:
        if len(it.embedder.batches) == 1:
            raise ProviderUnavailable("Away.")
        await asyncio.Event().wait()

    it.embedder.before = first_fails_and_others_hang
    file_id = await it.upload(text_of(40))
    async with asyncio.timeout(10):
        assert await finished(it.worker()) == 1
    assert (await it.state(file_id))[0] == "uploaded"
    assert asyncio.all_tasks() == {asyncio.current_task()}
