"""What the workers of one service tell each other and their parent: who accepts, how busy each is, who is alive.

A page of memory that all of them map, with a row for each process. A row has one writer, its process; only of a dead
one does the parent clear it. A number is eight bytes and written at once, so there is nothing to lock.
"""

import mmap
import os
import tempfile
import time
from enum import IntEnum

ROWS = 256  # twice the workers there may be, and more: in a restart there are those that come and those that go
CLOSED = -1  # the load of who accepts nothing
ASLEEP_MS = 1000  # a loop that beats less often is not counted on; it does ten times a second
_HEAD, _FIELDS = 1, 3
_SIZE = 8 * (_HEAD + _FIELDS * ROWS)


class Stage(IntEnum):
    """How far a worker is."""

    NONE = 0
    STARTING = 1
    READY = 2
    LEAVING = 3


class WorkerTable:
    """The page behind the descriptor `file`, which a worker inherits; without one a new page, all rows free."""

    def __init__(self, file: int | None = None) -> None:
        new = file is None
        if file is None:
            with tempfile.TemporaryFile() as draft:
                draft.truncate(_SIZE)
                file = os.dup(draft.fileno())
        self.file = file
        self._numbers = memoryview(mmap.mmap(file, _SIZE)).cast("q")
        if new:
            self._loads[:] = memoryview(bytearray(b"\xff" * 8 * ROWS)).cast("q")

    @property
    def _loads(self) -> memoryview:
        return self._numbers[_HEAD : _HEAD + ROWS]

    def claim(self) -> int:
        """A free row, for a process that is about to be started."""
        row = next(row for row in range(ROWS) if self.stage(row) is Stage.NONE)
        self._set(row, CLOSED, Stage.STARTING, 0)
        self._numbers[0] = max(self._numbers[0], row + 1)
        return row

    def free(self, row: int) -> None:
        """Its process is dead."""
        self._set(row, CLOSED, Stage.NONE, 0)

    def stage(self, row: int) -> Stage:
        return Stage(self._numbers[_HEAD + ROWS + row])

    def silent(self, row: int) -> float:
        """Seconds since that worker's event loop last went round; 0 where it has not begun to."""
        beat = self._numbers[_HEAD + 2 * ROWS + row]
        return time.monotonic() - beat / 1000 if beat else 0.0

    def loads(self, without: int) -> list[int]:
        """The connections of each worker that accepts and is awake, but for the one in row `without`."""
        used = self._numbers[0]
        loads = self._numbers[_HEAD : _HEAD + used].tolist()
        beats = self._numbers[_HEAD + 2 * ROWS : _HEAD + 2 * ROWS + used].tolist()
        latest = _now_ms() - ASLEEP_MS
        return [
            load
            for row, (load, beat) in enumerate(zip(loads, beats, strict=True))
            if load >= 0 and beat >= latest and row != without
        ]

    def set_load(self, row: int, load: int) -> None:
        self._numbers[_HEAD + row] = load

    def set_stage(self, row: int, stage: Stage) -> None:
        self._numbers[_HEAD + ROWS + row] = stage

    def beat(self, row: int) -> None:
        self._numbers[_HEAD + 2 * ROWS + row] = _now_ms()

    def _set(self, row: int, load: int, stage: Stage, beat: int) -> None:
        self._numbers[_HEAD + row] = load
        self._numbers[_HEAD + ROWS + row] = stage
        self._numbers[_HEAD + 2 * ROWS + row] = beat


def _now_ms() -> int:
    return int(time.monotonic() * 1000)  # one clock for all processes of a machine
