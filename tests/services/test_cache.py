"""The cache manager: what is found again, what is not, and how little a broken file matters."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from infrastructure.cache_files import FILE_NAME
from infrastructure.cache_store import CacheStore
from services.cache import CacheManager, cache_key

DAY = 86_400.0
A, B, C = cache_key("a"), cache_key("b"), cache_key("c")


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make(folder: Path, clock: Clock, *, max_bytes: int = 10_000, enabled: bool = True) -> CacheManager:
    return CacheManager(CacheStore(folder), max_bytes=max_bytes, expiry_days=30, enabled=enabled, clock=clock)


@pytest.fixture
async def cache(tmp_path: Path, clock: Clock) -> AsyncIterator[CacheManager]:
    cache = make(tmp_path, clock)
    await cache.open()
    yield cache
    await cache.close()


async def test_what_was_put_is_got_in_the_order_asked(cache: CacheManager) -> None:
    await cache.put_many("n", [(A, b"one"), (B, b"two")])
    assert await cache.get_many("n", [B, C, A]) == [b"two", None, b"one"]
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.stored, stats.size_bytes) == (2, 1, 2, 6)
    assert stats.hit_rate == pytest.approx(2 / 3)


async def test_namespaces_are_apart(cache: CacheManager) -> None:
    await cache.put_many("n", [(A, b"one")])
    assert await cache.get_many("m", [A]) == [None]


async def test_entries_outlive_the_manager(cache: CacheManager, tmp_path: Path, clock: Clock) -> None:
    await cache.put_many("n", [(A, b"one")])
    await cache.close()
    again = make(tmp_path, clock)
    await again.open()
    assert await again.get_many("n", [A]) == [b"one"]
    await again.close()


async def test_more_keys_than_one_query_takes(cache: CacheManager) -> None:
    keys = [cache_key(str(n)) for n in range(1200)]
    await cache.put_many("n", [(key, b"x") for key in keys])
    assert await cache.get_many("n", keys) == [b"x"] * 1200


async def test_an_old_entry_is_gone(cache: CacheManager, clock: Clock) -> None:
    await cache.put_many("n", [(A, b"one")])
    clock.now += 31 * DAY
    assert await cache.get_many("n", [A]) == [None]
    assert cache.stats().expired == 1
    clock.now -= 31 * DAY
    assert await cache.get_many("n", [A]) == [None], "it was dropped, not only passed over"


@pytest.mark.parametrize("damage", ["UPDATE entry SET value = x'00'", "UPDATE entry SET value = substr(value, 1, 2)"])
async def test_a_damaged_entry_is_found_dropped_and_can_be_put_again(
    cache: CacheManager, tmp_path: Path, damage: str
) -> None:
    await cache.put_many("n", [(A, b"one")])
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute(damage)
    connection.close()
    assert await cache.get_many("n", [A]) == [None]
    assert cache.stats().corrupt == 1
    await cache.put_many("n", [(A, b"one")])
    assert await cache.get_many("n", [A]) == [b"one"]


async def test_the_least_recently_used_entries_go_first(tmp_path: Path, clock: Clock) -> None:
    cache = make(tmp_path, clock, max_bytes=250)
    await cache.open()
    for key in (A, B):
        await cache.put_many("n", [(key, bytes(100))])
        clock.now += 100
    assert await cache.get_many("n", [A]) != [None]
    clock.now += 100
    await cache.put_many("n", [(C, bytes(100))])
    assert [value is not None for value in await cache.get_many("n", [A, B, C])] == [True, False, True]
    assert cache.stats().size_bytes == 200
    await cache.close()


def broken_text(path: Path) -> None:
    path.write_bytes(b"this is not a database" * 100)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def another_format(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize("damage", [broken_text, truncated, another_format])
async def test_a_broken_file_is_begun_anew_and_told_once(
    cache: CacheManager, tmp_path: Path, clock: Clock, damage: object
) -> None:
    await cache.put_many("n", [(cache_key(str(n)), bytes(1000)) for n in range(9)])
    await cache.close()
    assert callable(damage)
    damage(tmp_path / FILE_NAME)
    again = make(tmp_path, clock)
    with capture_logs() as logs:
        await again.open()
        await again.get_many("n", [cache_key(str(n)) for n in range(9)])
        await again.put_many("n", [(A, b"one")])
        assert await again.get_many("n", [A]) == [b"one"]
    assert [log["event"] for log in logs] == ["cache_file_corrupt"]
    assert again.stats().available
    await again.close()


async def test_a_file_that_breaks_while_it_is_open_is_begun_anew(cache: CacheManager, tmp_path: Path) -> None:
    await cache.put_many("n", [(cache_key(str(n)), bytes(3000)) for n in range(20)])
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    path = tmp_path / FILE_NAME
    path.write_bytes(b"\0" * path.stat().st_size)
    await cache.put_many("n", [(A, b"one")])
    await cache.put_many("n", [(A, b"one")])
    assert await cache.get_many("n", [A]) == [b"one"]


async def test_without_a_folder_to_write_in_there_is_no_cache_and_one_warning(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = make(tmp_path / "file" / "cache", clock)
    with capture_logs() as logs:
        await cache.open()
        await cache.put_many("n", [(A, b"one")])
        assert await cache.get_many("n", [A]) == [None]
    assert [log["event"] for log in logs] == ["cache_unavailable"]
    assert not cache.stats().available
    await cache.close()


async def test_a_file_that_cannot_be_replaced_ends_the_cache_quietly(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / FILE_NAME).mkdir()
    cache = make(tmp_path, clock)
    await cache.open()
    assert await cache.get_many("n", [A]) == [None]
    assert not cache.stats().available


async def test_a_file_locked_by_another_process_is_a_miss_for_now(cache: CacheManager, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with capture_logs() as logs:
        await cache.put_many("n", [(A, b"one")])
    other.execute("ROLLBACK")
    other.close()
    assert [log["event"] for log in logs] == ["cache_unavailable"]
    await cache.put_many("n", [(A, b"one")])
    assert await cache.get_many("n", [A]) == [b"one"]


async def test_a_cache_that_is_switched_off_touches_no_file(tmp_path: Path, clock: Clock) -> None:
    cache = make(tmp_path / "cache", clock, enabled=False)
    await cache.open()
    await cache.put_many("n", [(A, b"one")])
    assert await cache.get_many("n", [A]) == [None]
    assert not cache.stats().available
    assert not (tmp_path / "cache").exists()
    await cache.close()


async def test_every_entry_is_told_of(tmp_path: Path, clock: Clock) -> None:
    told: list[tuple[str, str]] = []
    cache = CacheManager(
        CacheStore(tmp_path),
        max_bytes=1000,
        expiry_days=1,
        clock=clock,
        on_operation=lambda operation, result: told.append((operation, result)),
    )
    await cache.open()
    await cache.put_many("n", [(A, b"one")])
    await cache.get_many("n", [A, B])
    assert told == [("put", "stored"), ("get", "hit"), ("get", "miss")]
    await cache.close()


def test_keys_of_other_parts_are_other_keys() -> None:
    assert cache_key("ab", "c") != cache_key("a", "bc")
    assert cache_key("a") == A
