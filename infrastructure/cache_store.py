"""A key-value file that can be thrown away, apart from the database that must be kept.

Several processes of one host may share it. SQLite's write-ahead log stands on memory that they share: hosts may not.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from infrastructure.cache_file import AnotherFormat, CacheFile
from infrastructure.cache_files import CacheFiles

_UNUSABLE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_TRIES = 25  # to open a file that another process is just opening for the first time, or has just left
_TRY_AGAIN_SECONDS = 0.02

T = TypeVar("T")


class CacheFileCorrupt(Exception):
    """The file is not what SQLite wrote, or is of another format. `begin_anew` is the cure."""

    def __init__(self, message: str, file: Path) -> None:
        super().__init__(message)
        self.file = file


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
    """One connection to the newest file in `folder`. Every method raises `CacheFileCorrupt` or `CacheUnavailable`.

    All work is done by one thread. Work that nobody waits for any more is done to its end.
    """

    def __init__(self, folder: Path) -> None:
        self._files = CacheFiles(folder)
        self._file: CacheFile | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache")
        self._beginning = asyncio.Lock()

    async def open(self) -> None:
        for tries_left in range(_TRIES - 1, -1, -1):
            path = await self._work(self._files.newest)
            try:
                self._file = await self._work(partial(CacheFile, path), path)
                return
            except CacheUnavailable as error:
                # To turn the log on takes the file alone, and for that SQLite does not wait; one that was removed
                # since it was the newest is not there. Both are over in a moment.
                if not tries_left or (path.exists() and not _busy(error)):
                    raise
            await asyncio.sleep(_TRY_AGAIN_SECONDS)

    async def begin_anew(self, bad: Path) -> None:
        """Leave the file that was found corrupt for an empty one, or for one that others have begun meanwhile."""
        async with self._beginning:
            if self._file is not None and self._file.path != bad:
                return
            await self.close()
            await self._work(partial(self._files.leave, bad))
            await self.open()

    async def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            await self._work(file.close)

    @property
    def is_open(self) -> bool:
        """Whether there is a file, or is about to be another in place of a bad one."""
        return self._file is not None or self._beginning.locked()

    async def get(self, namespace: str, keys: Sequence[bytes]) -> list[CacheEntry]:
        """The entries that are there, in no order."""
        return [CacheEntry(*row) for row in await self._on_file(lambda file: file.get(namespace, keys))]

    async def put(self, namespace: str, entries: Iterable[CacheEntry]) -> None:
        """Add entries, or replace those of the same key, in one transaction."""
        rows = [(namespace, e.key, e.value, e.checksum, len(e.value), e.created_at, e.used_at) for e in entries]
        if rows:
            await self._on_file(lambda file: file.put(rows))

    async def touch(self, namespace: str, keys: Iterable[bytes], now: float) -> None:
        """Remember that the entries were used."""
        if rows := [(now, namespace, key) for key in keys]:
            await self._on_file(lambda file: file.touch(rows))

    async def delete(self, namespace: str, keys: Iterable[bytes]) -> None:
        if rows := [(namespace, key) for key in keys]:
            await self._on_file(lambda file: file.delete(rows))

    async def size(self) -> int:
        """Bytes of all values, whoever stored them."""
        return await self._on_file(CacheFile.size)

    async def trim(self, to_bytes: int) -> None:
        """Remove the least recently used entries until no more than `to_bytes` are left."""
        await self._on_file(lambda file: file.trim(to_bytes))

    async def _on_file(self, work: Callable[[CacheFile], T]) -> T:
        file = self._file
        if file is None:
            raise CacheUnavailable("not open")
        return await self._work(partial(work, file), file.path)

    async def _work(self, work: Callable[[], T], path: Path | None = None) -> T:
        """Done in the thread; what SQLite and the file system raise becomes one of the two errors of this module."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (AnotherFormat, sqlite3.DatabaseError) as error:
            if path is not None and (isinstance(error, AnotherFormat) or _code(error) in _UNUSABLE):
                raise CacheFileCorrupt(str(error), path) from error
            raise CacheUnavailable(type(error).__name__) from error
        except OSError as error:
            raise CacheUnavailable(type(error).__name__) from error


def _busy(error: CacheUnavailable) -> bool:
    return isinstance(error.__cause__, sqlite3.Error) and _code(error.__cause__) in _BUSY


def _code(error: sqlite3.Error) -> int:
    """The plain code; extended ones (SQLITE_CORRUPT_INDEX, …) add to its low byte."""
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
