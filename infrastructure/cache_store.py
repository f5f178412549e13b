"""A key-value file that can be thrown away: one SQLite table, apart from the database that must be kept."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiosqlite

FILE_NAME = "cache.db"
_FORMAT = 1  # another one found in the file: it is begun anew
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    namespace TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, checksum BLOB NOT NULL,
    size INTEGER NOT NULL, created_at REAL NOT NULL, used_at REAL NOT NULL, PRIMARY KEY (namespace, key)
);
CREATE INDEX IF NOT EXISTS entry_by_use ON entry (used_at, size);
"""
_SELECT = "SELECT key, value, checksum, created_at, used_at FROM entry WHERE namespace = ? AND key"
_UNUSABLE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_KEYS_A_QUERY = 500  # below SQLite's oldest limit of 999 variables


class CacheFileCorrupt(Exception):
    """The file is not what SQLite wrote, or is of another format. `begin_anew` is the cure."""


class CacheUnavailable(Exception):
    """The file cannot be opened, read or written just now: no right, no space, locked."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A row as it was stored. Times are Unix seconds."""

    key: bytes
    value: bytes
    checksum: bytes
    created_at: float
    used_at: float


class CacheStore:
    """One connection to `folder/cache.db`. Every method raises `CacheFileCorrupt` or `CacheUnavailable`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._connection: aiosqlite.Connection | None = None

    async def open(self) -> None:
        try:
            async with self._told_apart():
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._connection = await self._connect()
                await self._prepare(self._connection)
        except (CacheFileCorrupt, CacheUnavailable):
            await self.close()
            raise

    async def _connect(self) -> aiosqlite.Connection:
        connection = aiosqlite.connect(self._path, isolation_level=None)
        try:
            return await connection
        except sqlite3.Error:
            # The library lets go of the thread of a connection that failed; it would answer a loop that may be closed.
            await asyncio.to_thread(connection._thread.join)
            raise

    async def _prepare(self, connection: aiosqlite.Connection) -> None:
        # What is lost in a power cut is a cache entry, so nothing waits for the disk.
        await connection.executescript("PRAGMA busy_timeout=2000; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;")
        version = await self._scalar("PRAGMA user_version")
        if version == 0 and not await self._scalar("SELECT count(*) FROM sqlite_master"):
            await connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={_FORMAT}; COMMIT;")
        elif version != _FORMAT:
            raise CacheFileCorrupt("another format")

    async def begin_anew(self) -> None:
        """Remove the file and open an empty one."""
        await self.close()
        async with self._told_apart():
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        await self.open()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    async def get(self, namespace: str, keys: Sequence[bytes]) -> list[CacheEntry]:
        """The entries that are there, in no order."""
        found: list[CacheEntry] = []
        async with self._told_apart():
            for at in range(0, len(keys), _KEYS_A_QUERY):
                some = keys[at : at + _KEYS_A_QUERY]
                marks = ",".join("?" * len(some))
                rows = await self._opened.execute_fetchall(
                    f"{_SELECT} IN ({marks})",
                    (namespace, *some),
                )
                found.extend(CacheEntry(*row) for row in rows)
        return found

    async def put(self, namespace: str, entries: Iterable[CacheEntry]) -> None:
        """Add entries, or replace those of the same key, in one transaction."""
        rows = [(namespace, e.key, e.value, e.checksum, len(e.value), e.created_at, e.used_at) for e in entries]
        await self._write_many("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    async def touch(self, namespace: str, keys: Iterable[bytes], now: float) -> None:
        """Remember that the entries were used."""
        await self._write_many(
            "UPDATE entry SET used_at = ? WHERE namespace = ? AND key = ?", [(now, namespace, key) for key in keys]
        )

    async def delete(self, namespace: str, keys: Iterable[bytes]) -> None:
        await self._write_many("DELETE FROM entry WHERE namespace = ? AND key = ?", [(namespace, key) for key in keys])

    async def size(self) -> int:
        """Bytes of all values."""
        async with self._told_apart():
            return int(await self._scalar("SELECT coalesce(sum(size), 0) FROM entry"))

    async def trim(self, to_bytes: int) -> None:
        """Remove the least recently used entries until no more than `to_bytes` are left."""
        await self._write_many(
            "DELETE FROM entry WHERE rowid IN (SELECT rowid FROM (SELECT rowid, "
            "sum(size) OVER (ORDER BY used_at DESC, rowid DESC) AS total FROM entry) WHERE total > ?)",
            [(to_bytes,)],
        )

    async def _write_many(self, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
        if not rows:
            return
        async with self._told_apart():
            await self._opened.execute("BEGIN IMMEDIATE")
            try:
                await self._opened.executemany(sql, rows)
            finally:
                await self._opened.execute("COMMIT")  # a half-done batch is as good as a smaller one

    async def _scalar(self, sql: str) -> int:
        (row,) = await self._opened.execute_fetchall(sql)
        return int(row[0])

    @property
    def _opened(self) -> aiosqlite.Connection:
        if self._connection is None:
            raise CacheUnavailable("not open")
        return self._connection

    @asynccontextmanager
    async def _told_apart(self) -> AsyncIterator[None]:
        """Turns what SQLite and the file system raise into one of the two errors of this module."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            # The low byte is the plain code; extended ones (SQLITE_CORRUPT_INDEX, …) add to it.
            if (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF in _UNUSABLE:
                raise CacheFileCorrupt(str(error)) from error
            raise CacheUnavailable(type(error).__name__) from error
        except OSError as error:
            raise CacheUnavailable(type(error).__name__) from error
