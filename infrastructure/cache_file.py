"""One open file of the cache: an SQLite table. Every method blocks, and raises what SQLite raises."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

BUSY_SECONDS = 0.5  # so long another process is waited for, and with it a question; what it writes takes milliseconds
_FORMAT = 1  # another one found in the file: it is begun anew
_SCHEMA = (
    "CREATE TABLE entry (namespace TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, checksum BLOB NOT NULL, "
    "size INTEGER NOT NULL, created_at REAL NOT NULL, used_at REAL NOT NULL, PRIMARY KEY (namespace, key))",
    "CREATE INDEX entry_by_use ON entry (used_at, size)",
    f"PRAGMA user_version={_FORMAT}",
)
_SELECT = "SELECT key, value, checksum, created_at, used_at FROM entry WHERE namespace = ? AND key"
_KEYS_A_QUERY = 500  # below SQLite's oldest limit of 999 variables

Row = tuple[bytes, bytes, bytes, float, float]
"""Key, value, checksum, and when it was made and used, in Unix seconds."""


class AnotherFormat(Exception):
    """The file is one of another version of this service."""


class CacheFile:
    """Opens a file that is there, and makes its table if it is empty.

    Raises:
        AnotherFormat: it is not for this version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,  # used by one thread at a time, not always the same
        )
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        # What is lost in a power cut is a cache entry, so nothing waits for the disk.
        self._connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;")
        if self._number("PRAGMA user_version") == _FORMAT:
            return
        self._connection.execute("BEGIN IMMEDIATE")  # of two that come at once, one finds it empty
        try:
            version = self._number("PRAGMA user_version")
            if version == 0 and not self._number("SELECT count(*) FROM sqlite_master"):
                for statement in _SCHEMA:
                    self._connection.execute(statement)
            elif version != _FORMAT:
                raise AnotherFormat("another format")
        finally:
            self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()

    def get(self, namespace: str, keys: Sequence[bytes]) -> list[Row]:
        """The entries that are there, in no order."""
        found: list[Row] = []
        for at in range(0, len(keys), _KEYS_A_QUERY):
            some = keys[at : at + _KEYS_A_QUERY]
            marks = ",".join("?" * len(some))
            with closing(self._connection.execute(f"{_SELECT} IN ({marks})", (namespace, *some))) as rows:
                found.extend(rows)
        return found

    def put(self, rows: Sequence[tuple[object, ...]]) -> None:
        """Add entries, or replace those of the same key: namespace, key, value, checksum, size, made and used at."""
        self._write("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def touch(self, rows: Sequence[tuple[object, ...]]) -> None:
        """Note a time of use for each namespace and key."""
        self._write("UPDATE entry SET used_at = ? WHERE namespace = ? AND key = ?", rows)

    def delete(self, rows: Sequence[tuple[object, ...]]) -> None:
        """Remove the entry of each namespace and key."""
        self._write("DELETE FROM entry WHERE namespace = ? AND key = ?", rows)

    def size(self) -> int:
        """Bytes of all values."""
        return self._number("SELECT coalesce(sum(size), 0) FROM entry")

    def trim(self, to_bytes: int) -> None:
        """Remove the least recently used entries until no more than `to_bytes` are left."""
        self._write(
            "DELETE FROM entry WHERE rowid IN (SELECT rowid FROM (SELECT rowid, "
            "sum(size) OVER (ORDER BY used_at DESC, rowid DESC) AS total FROM entry) WHERE total > ?)",
            [(to_bytes,)],
        )

    def _write(self, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
        """In one transaction, which ends whatever happens: while it is open no other process can write."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(sql, rows)
        finally:
            if self._connection.in_transaction:  # a full disk may have ended it
                self._connection.execute("COMMIT")  # a half-done batch is as good as a smaller one

    def _number(self, sql: str) -> int:
        (row,) = self._connection.execute(sql).fetchall()
        return int(row[0])
