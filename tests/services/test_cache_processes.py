"""Several processes over one cache folder: they find what the others stored, and a broken file stops none of them."""

import asyncio
import json
import sqlite3
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

from infrastructure.cache_files import FILE_NAME, CacheFiles
from infrastructure.cache_store import CacheStore
from services.cache import CacheManager, cache_key
from tests.services.cache_process import MAX_BYTES, NAMES

A, B = cache_key("a"), cache_key("b")


async def together(folder: Path) -> list[dict[str, Any]]:
    """What came of processes that open the folder at the same moment."""
    command = (sys.executable, "-m", "tests.services.cache_process", str(folder))
    running = [await asyncio.create_subprocess_exec(*command, name, stdin=PIPE, stdout=PIPE) for name in NAMES]
    for process in running:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    ended = await asyncio.gather(*(process.communicate(b"go\n") for process in running))
    return [json.loads(out) for out, _ in ended]


def kept_bytes(file: Path) -> int:
    connection = sqlite3.connect(file)
    (size,) = connection.execute("SELECT sum(size) FROM entry").fetchone()
    connection.close()
    return int(size)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def manager(folder: Path) -> CacheManager:
    return CacheManager(CacheStore(folder), max_bytes=10_000, expiry_days=1)


async def test_processes_that_begin_at_once_share_one_file_and_its_bound(tmp_path: Path) -> None:
    results = await together(tmp_path)
    assert [(r["wrong"], r["corrupt"], r["own"], r["kept"], r["logs"]) for r in results] == [(0, 0, True, True, [])] * 3
    assert any(r["found"] for r in results)
    assert names(tmp_path) == [FILE_NAME]
    assert kept_bytes(tmp_path / FILE_NAME) <= MAX_BYTES * 1.1


async def test_processes_that_find_a_broken_file_at_once_go_on_with_one_new_file(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is not a database" * 1000)
    results = await together(tmp_path)
    assert [(r["wrong"], r["corrupt"], r["own"], r["kept"]) for r in results] == [(0, 0, True, True)] * 3
    assert all(r["logs"] in ([], ["cache_file_corrupt"]) for r in results)
    assert any(r["found"] for r in results)
    assert names(tmp_path) == ["cache-1.db"]


async def test_whoever_has_a_file_open_that_others_left_goes_on_and_finds_theirs(tmp_path: Path) -> None:
    first, second = manager(tmp_path), manager(tmp_path)
    await first.open()
    await second.open()
    await first._store.begin_anew(tmp_path / FILE_NAME)  # as if it had met a page that is broken
    await second.put_many("n", [(A, b"one")])
    assert await second.get_many("n", [A]) == [b"one"], "its file has lost its name, not its use"
    await second._store.begin_anew(tmp_path / FILE_NAME)
    await first.put_many("n", [(B, b"two")])
    assert await second.get_many("n", [A, B]) == [None, b"two"]
    await second.close()
    assert await first.get_many("n", [B]) == [b"two"], "nothing of it went with the other's end"
    await first.close()
    assert names(tmp_path) == ["cache-1.db"]


async def test_a_file_that_two_tasks_find_broken_is_left_once(tmp_path: Path) -> None:
    store = CacheStore(tmp_path)
    await store.open()
    await asyncio.gather(*(store.begin_anew(tmp_path / FILE_NAME) for _ in range(3)))
    await store.close()
    assert names(tmp_path) == ["cache-1.db"]


async def test_work_that_nobody_waits_for_keeps_no_other_process_out(tmp_path: Path) -> None:
    first, second = manager(tmp_path), manager(tmp_path)
    await first.open()
    await second.open()
    for number in range(50):
        putting = asyncio.create_task(first.put_many("n", [(A, b"one")]))
        for _ in range(number % 5):
            await asyncio.sleep(0)
        putting.cancel()
        await asyncio.gather(putting, return_exceptions=True)
        await second.put_many("n", [(B, b"%d" % number)])
        assert await second.get_many("n", [B]) == [b"%d" % number]
    await first.put_many("n", [(A, b"last")])
    assert await second.get_many("n", [A]) == [b"last"]
    await first.close()
    await second.close()


def test_a_number_is_never_used_twice(tmp_path: Path) -> None:
    files = CacheFiles(tmp_path)
    assert files.newest().name == FILE_NAME
    (tmp_path / "cache-x.db").touch()
    for number in range(1, 12):
        assert files.leave(files.newest()).name == f"cache-{number}.db"
        assert files.newest().name == f"cache-{number}.db"
    assert files.leave(tmp_path / FILE_NAME).name == "cache-11.db", "another has begun since"
    assert set(names(tmp_path)) == {"cache-11.db", "cache-x.db"}
