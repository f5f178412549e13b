"""The names of the cache's file, of which there is a new one whenever it is begun anew.

Several processes may share the folder. SQLite finds the parts of a database by name, so one that another process has
open must not be replaced under its name: its last connection would remove parts of the new one. So no name is used
twice, and whoever has an old file open goes on with it unharmed until it finds the newest.
"""

import os
import re
from pathlib import Path

FILE_NAME = "cache.db"
_NAME = re.compile(r"cache(?:-(\d+))?\.db")
_PARTS = ("", "-wal", "-shm")


class CacheFiles:
    """Those of one folder. Every method raises `OSError`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def newest(self) -> Path:
        """The file to use; it is there, if empty."""
        self._folder.mkdir(parents=True, exist_ok=True)
        numbers = self._numbers()
        return self._path(max(numbers)) if numbers else self._made(0)

    def leave(self, file: Path) -> Path:
        """The file to use in place of a bad one: what another process has begun since, else a new one.

        The bad one and all before it are removed, after there is another: so numbers only rise.
        """
        bad = self._number(file.name) or 0
        newest = max(self._numbers(), default=0)
        path = self._path(newest) if newest > bad else self._made(bad + 1)
        for number in self._numbers():
            if number <= bad:
                self._remove(self._path(number))
        return path

    def _numbers(self) -> list[int]:
        found = (self._number(name) for name in os.listdir(self._folder))
        return [number for number in found if number is not None]

    def _number(self, name: str) -> int | None:
        match = _NAME.fullmatch(name)
        return int(match[1] or 0) if match else None

    def _path(self, number: int) -> Path:
        return self._folder / (f"cache-{number}.db" if number else FILE_NAME)

    def _made(self, number: int) -> Path:
        path = self._path(number)
        path.touch()  # another process may have been faster: then it is the same file
        return path

    def _remove(self, path: Path) -> None:
        for part in _PARTS:
            path.with_name(path.name + part).unlink(missing_ok=True)
