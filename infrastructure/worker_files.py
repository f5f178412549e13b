"""The files in which the workers of one service keep their numbers, so that a scrape of any has the sum of all.

prometheus_client writes them: `counter_<pid>.db` and the like. Beside them each worker holds a lock on `<pid>.alive`
for as long as it lives. What a dead one has counted goes into the files of process 0, which there is not: a sum that
fell would be taken for a restart. Its gauges go with it.
"""

import fcntl
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.mmap_dict import MmapedDict

from infrastructure.exposition import written
from infrastructure.worker_sums import read_file, written_sums

LOCK = ".lock"
OF_WORKER = re.compile(r"(counter|histogram|gauge_[a-z]+)_(\d+)\.db")
PAST: Final = 0
SUMMED = ("counter", "histogram")


class WorkerFiles:
    """This process's part in `folder`, to be made before its first metric is. With the first worker all begins at 0.

    Raises:
        OSError: the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        with self._locked(fcntl.LOCK_EX):
            if not self._living():
                for file in folder.glob("*.db"):
                    file.unlink()
            self._fold_the_dead()  # one may have had the id that is this process's now
            self._alive = os.open(folder / f"{os.getpid()}.alive", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._alive, fcntl.LOCK_EX)
        self.living = [os.getpid()]  # who was at work at the last sweep

    def text(self, local: CollectorRegistry, openly: bool) -> bytes:
        """What all workers have counted, and `local`, as a scrape reads it. Reads files: to be called in a thread."""
        self.sweep()
        with self._locked(fcntl.LOCK_SH):
            sums = written_sums([(file, kind) for file, kind, _ in self._files()], openly)
        return written(local, openly, sums.encode())

    def sweep(self) -> None:
        """Put what dead workers have counted into one file of each kind, and forget them."""
        with self._locked(fcntl.LOCK_EX):
            self._fold_the_dead()

    def close(self) -> None:
        """This process counts no more."""
        os.close(self._alive)

    def _fold_the_dead(self) -> None:
        self.living = self._living()
        here = {PAST, *self.living}
        dead = [(file, kind, pid) for file, kind, pid in self._files() if pid not in here]
        for kind in SUMMED:
            self._fold(kind, [file for file, of_kind, _ in dead if of_kind == kind])
        for file, kind, pid in dead:
            if kind not in SUMMED:
                file.unlink()
            (self._folder / f"{pid}.alive").unlink(missing_ok=True)

    def _files(self) -> list[tuple[Path, str, int]]:
        found = [(file, OF_WORKER.fullmatch(file.name)) for file in self._folder.glob("*.db")]
        return [(file, match[1], int(match[2])) for file, match in found if match is not None]

    def _fold(self, kind: str, dead: list[Path]) -> None:
        if not dead:
            return
        past = self._folder / f"{kind}_{PAST}.db"
        sums: defaultdict[str, float] = defaultdict(float)
        for file in (past, *dead) if past.exists() else dead:
            for key, value in read_file(file):
                sums[key] += value
        draft = past.with_suffix(".new")
        draft.unlink(missing_ok=True)
        values = _untyped(MmapedDict)(str(draft))
        for key, value in sums.items():
            values.write_value(key, value, 0.0)
        values.close()
        draft.replace(past)
        for file in dead:
            file.unlink()

    def _living(self) -> list[int]:
        """Whoever holds its lock. Ids of processes are given again, so that one that is there may be another."""
        found = []
        for file in self._folder.glob("*.alive"):
            with _opened(file) as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    found.append(int(file.stem))
        return found

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Nobody folds while somebody reads: else a worker's numbers would be there twice, or not at all."""
        with _opened(self._folder / LOCK) as lock:
            fcntl.flock(lock, how)
            yield


@contextmanager
def _opened(file: Path) -> Iterator[int]:
    descriptor = os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _untyped(thing: Any) -> Any:
    """For what the library has without types."""
    return thing
