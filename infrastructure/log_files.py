"""Where lines go: stdout, and a file that is rotated. A line that cannot be written ends nothing."""

import fcntl
import logging
import logging.handlers
import os
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

LOG_FILE_BYTES = 10 * 1024 * 1024
LOG_FILES = 5
NAME = "askgraph"
TOLD_EVERY_SECONDS = 60.0


class _Careful(logging.Handler):
    """Says on stderr, once a minute at most, that lines are lost: not with which words, as logging itself would."""

    _told_at = float("-inf")

    def handleError(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - _Careful._told_at < TOLD_EVERY_SECONDS or sys.stderr is None:
            return
        _Careful._told_at = now
        kind = type(sys.exc_info()[1]).__name__
        try:
            sys.stderr.write(f"askgraph: log lines are lost: {kind}\n")
        except (OSError, ValueError):  # nobody is there to be told
            return


class Stdout(_Careful, logging.StreamHandler[Any]):
    """Lines to stdout, as it is now. What its encoding cannot say is written out."""

    def __init__(self) -> None:
        reconfigure = getattr(sys.stdout, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
        super().__init__(sys.stdout)


class LogFile(_Careful, logging.handlers.RotatingFileHandler):
    """`askgraph.log` in `folder`, rotated at 10 MiB, five older ones kept.

    Two processes cannot rotate one file: the second of them has `askgraph-1.log`, and so on.

    Raises:
        OSError: nothing can be written there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock_of_file, name = _first_free(folder)
        try:
            super().__init__(folder / name, maxBytes=LOG_FILE_BYTES, backupCount=LOG_FILES, encoding="utf-8",
                             errors="backslashreplace")  # fmt: skip
        except OSError:
            os.close(self._lock_of_file)
            raise

    def close(self) -> None:
        super().close()
        if self._lock_of_file >= 0:
            os.close(self._lock_of_file)
            self._lock_of_file = -1


def _first_free(folder: Path) -> tuple[int, str]:
    """The lock on a name that no living process writes under, and the name."""
    for number in count():
        name = f"{NAME}-{number}.log" if number else f"{NAME}.log"
        lock = os.open(folder / f".{name}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        except OSError:  # a file system without locks
            pass
        return lock, name
    raise AssertionError  # numbers do not end
