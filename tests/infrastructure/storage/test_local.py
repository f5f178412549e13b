"""Files on the local disk: how they lie there, and what happens when the disk fails."""

import asyncio
import os
import resource
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from infrastructure.errors import NotFound, StorageUnavailable
from infrastructure.storage.local import LocalStorage
from tests.infrastructure.storage.test_storage import MIB, chunked, keys, read

KEY = "files/0198c0de-0000-7000-8000-0000000000c4"


@pytest.fixture
async def storage(tmp_path: Path) -> LocalStorage:
    return await LocalStorage.open(tmp_path / "data" / "uploads")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "uploads"


async def test_a_file_is_its_owners_alone_and_lies_in_the_folder_of_its_last_two_digits(
    storage: LocalStorage, folder: Path
) -> None:
    await storage.put(KEY, chunked(b"secret"))
    kept = folder / "files" / "c4" / KEY.removeprefix("files/")
    assert kept.read_bytes() == b"secret"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


async def test_local_files_are_fetched_without_copying(storage: LocalStorage, folder: Path, tmp_path: Path) -> None:
    await storage.put(KEY, chunked(b"x"))
    await storage.fetch(KEY, tmp_path / "fetched")
    assert (tmp_path / "fetched").stat().st_nlink == 2


async def test_a_file_is_copied_where_it_cannot_have_a_second_name(
    storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def across_devices(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    await storage.put(KEY, chunked(b"x"))
    monkeypatch.setattr(os, "link", across_devices)
    await storage.fetch(KEY, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == b"x"
    with pytest.raises(StorageUnavailable):
        await storage.fetch(KEY, Path("/proc/fetched"))


async def test_files_of_others_in_the_folder_are_not_listed(storage: LocalStorage, folder: Path) -> None:
    await storage.put(KEY, chunked(b"x"))
    (folder / "README").write_text("put here by hand")
    (folder / "files" / "c4" / "notes").write_text("in the wrong folder for its name")
    (folder / "files" / "c4" / "thumbs.db").write_text("no key")
    (folder / "files" / "c5").symlink_to(folder / "files" / "c4")
    assert await keys(storage) == [KEY]


async def test_a_missing_folder_has_no_keys(storage: LocalStorage, folder: Path) -> None:
    shutil.rmtree(folder)
    assert await keys(storage) == []
    with pytest.raises(NotFound):
        await anext(storage.read(KEY))


async def test_what_a_killed_process_was_writing_is_cleared_away_and_what_a_living_one_writes_is_not(
    storage: LocalStorage, folder: Path
) -> None:
    script = f"""
import asyncio, sys
from pathlib import Path
from infrastructure.storage.local import LocalStorage

async def chunks():
    yield b"x" * {2 * MIB}
    print("writing", flush=True)
    await asyncio.Event().wait()

async def main():
    storage = await LocalStorage.open(Path({str(folder)!r}))
    await storage.put("files/a", chunks())

asyncio.run(main())
"""
    command = (sys.executable, "-c", script)
    writer = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    try:
        assert writer.stdout is not None
        assert await writer.stdout.readline() == b"writing\n"
        await LocalStorage.open(folder)
        assert len(list((folder / ".tmp").iterdir())) == 1
    finally:
        writer.kill()
        await writer.communicate()
    await LocalStorage.open(folder)
    assert list((folder / ".tmp").iterdir()) == []


async def test_a_disk_that_takes_no_more_is_told_and_leaves_nothing(storage: LocalStorage, folder: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB + MIB // 2, limits[1]))
    try:
        with pytest.raises(StorageUnavailable) as raised:
            await storage.put(KEY, chunked(bytes(3 * MIB)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.message == "The file storage cannot be used at the moment."
    assert await keys(storage) == []
    assert list((folder / ".tmp").iterdir()) == []


async def test_a_folder_that_cannot_be_made_is_told(storage: LocalStorage, folder: Path, tmp_path: Path) -> None:
    (folder / "files").write_text("in the way")
    with pytest.raises(StorageUnavailable):
        await storage.put(KEY, chunked(b"x"))
    assert list((folder / ".tmp").iterdir()) == []
    with pytest.raises(StorageUnavailable):
        await anext(storage.read(KEY))
    with pytest.raises(StorageUnavailable):
        await LocalStorage.open(folder / "files")


async def test_an_unfinished_file_that_vanishes_is_a_fault_and_no_missing_file(
    storage: LocalStorage, folder: Path
) -> None:
    async def removing():  # type: ignore[no-untyped-def]  # a test's own generator
        yield bytes(2 * MIB)
        for path in (folder / ".tmp").iterdir():
            path.unlink()

    with pytest.raises(StorageUnavailable):
        await storage.put(KEY, removing())


async def test_a_folder_that_was_removed_is_made_again(storage: LocalStorage, folder: Path) -> None:
    shutil.rmtree(folder)
    await storage.put(KEY, chunked(b"x"))
    assert await read(storage, KEY) == b"x"
