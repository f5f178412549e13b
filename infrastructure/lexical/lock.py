"""A folder that one process at a time may write to, and folders beside it for the others."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


LOCK_FILE = "owner.lock"
MOST_FOLDERS = 64  # of processes with one data folder


class FolderLock:
    """A lock file's advisory lock: held until released, or until the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free. False when somebody holds it, or when the folder cannot be written to."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = self._path.open("wb")
        except OSError:
            return False
        try:
            _lock(file)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        if self._file:
            self._file.close()
            self._file = None


def own_folder(folder: Path) -> "tuple[Path, FolderLock] | None":
    """The first of `folder`, `folder-2`, `folder-3`, … that nobody has, which is this process's for as long as it holds
    the lock. A process that comes after one that ended finds what that one left. None where none can be had.
    """
    for place in _places(folder):
        lock = FolderLock(place / LOCK_FILE)
        if lock.acquire():
            return place, lock
    return None


def is_owned(folder: Path) -> bool:
    """Whether a process has `folder`, or one of those beside it."""
    for place in _places(folder):
        lock = FolderLock(place / LOCK_FILE)
        if place.is_dir() and not lock.acquire():
            return True
        lock.release()
    return False


def _places(folder: Path) -> Iterator[Path]:
    yield folder
    yield from (folder.with_name(f"{folder.name}-{n}") for n in range(2, MOST_FOLDERS + 1))
