"""What nobody needs any more is cleared away, and what a crash left in disorder is put right; nothing else is."""

import asyncio
import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from services.file_uploads import storage_key
from tests.services.chat_rows import START, add_chat, add_user
from tests.services.file_parts import FileSetup

HOUR = timedelta(hours=1)


@pytest.fixture
def setup(database: Database, tmp_path: Path) -> FileSetup:
    return FileSetup(database, tmp_path)


async def put(setup: FileSetup, file_id: str, changed: datetime) -> None:
    """Bytes in storage."""

    async def chunks():  # type: ignore[no-untyped-def]  # an async generator of bytes
        yield b"x"

    await setup.storage.put(storage_key(file_id), chunks())
    (path,) = (setup.folder / "storage").rglob(file_id)
    os.utime(path, (changed.timestamp(), changed.timestamp()))


async def test_nobodys_old_files_that_belong_to_no_chat_go(setup: FileSetup) -> None:
    ada = await add_user(setup.database)
    chat = (await add_chat(setup.database)).id
    old = [await setup.brings(data=b"Old %d." % n) for n in range(3)]
    kept = {(await setup.brings(chat=chat)).id, (await setup.brings(ada)).id}
    await setup.read(old[0])
    setup.clock.pass_by(days=31)
    kept.add((await setup.brings()).id)
    before = setup.clock() - timedelta(days=30)
    assert await setup.files.sweeping.loose(before) == 3
    assert await setup.kept() == kept
    assert [partition for partition, _, _ in setup.index.all] == [old[0].id]
    assert await setup.files.sweeping.loose(before) == 0


async def test_bytes_that_no_file_has_go_when_they_are_old(setup: FileSetup) -> None:
    file = await setup.brings()
    setup.clock.now = datetime.now(START.tzinfo)
    old, young = [new_id() for _ in range(3)], new_id()
    for file_id in old:
        await put(setup, file_id, setup.clock() - 1.1 * HOUR)
    await put(setup, young, setup.clock() - 0.9 * HOUR)
    assert await setup.files.sweeping.orphans() == (3, 0)
    assert await setup.kept() == {file.id, young}


async def test_what_is_not_ours_is_left(setup: FileSetup) -> None:
    for key in ("files/other", "others/" + new_id()):

        async def chunks():  # type: ignore[no-untyped-def]  # an async generator of bytes
            yield b"x"

        await setup.storage.put(key, chunks())
    setup.clock.now = datetime.now(START.tzinfo) + 2 * HOUR
    assert await setup.files.sweeping.orphans() == (0, 0)
    assert len(await setup.kept()) == 2


async def test_a_file_that_waits_without_bytes_is_given_up(setup: FileSetup) -> None:
    lost, waiting = await setup.brings(data=b"Lost."), await setup.brings()
    await setup.storage.delete(storage_key(lost.id))
    setup.clock.pass_by(minutes=59)
    assert await setup.files.sweeping.orphans() == (0, 0)
    setup.clock.pass_by(minutes=2)
    assert await setup.files.sweeping.orphans() == (0, 1)
    states = [await setup.files.get(file.id, None) for file in (lost, waiting)]
    assert [(file.status, file.error_message) for file in states] == [
        ("failed", "The file's bytes are lost. Upload it again."), ("uploaded", None),
    ]  # fmt: skip


async def test_two_sweeps_at_once_do_no_harm(setup: FileSetup) -> None:
    for n in range(30):
        await setup.brings(data=b"Old %d." % n)
    setup.clock.pass_by(days=31)
    before = setup.clock() - timedelta(days=30)
    done = await asyncio.gather(*(setup.files.sweeping.loose(before) for _ in range(2)))
    assert sum(done) == 30
    assert await setup.kept() == set()
