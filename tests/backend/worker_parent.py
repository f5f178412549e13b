"""A parent of small workers, in a process of its own: `python -m tests.backend.worker_parent <kind> <seconds>`, and
then any of the parent's constants as NAME=number.

Its log lines are JSON on stdout; each worker says its own process id there when it is ready.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import structlog

from backend import workers
from backend.worker import end_with
from backend.worker_table import Stage, WorkerTable

WORKER = ("-m", "tests.backend.worker_parent", "--worker")


def parent(kind: str, seconds: float, constants: list[str]) -> int:
    structlog.configure(processors=[structlog.processors.JSONRenderer()], logger_factory=_Flushed)
    for name, _, number in (constant.partition("=") for constant in constants):
        setattr(workers, name, float(number))
    return workers.Workers(2, [], os.environ, seconds, (*WORKER, kind)).run()


class _Flushed:
    def msg(self, message: str) -> None:
        _say(message)

    info = error = msg


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def worker(kind: str, row: int, table: WorkerTable) -> None:
    """`fails` does not start; `dies` as soon as it is ready; `hangs`; `stays` when it is told to end; `until:PATH` is
    good, but fails to start while there is such a file; and `slow:PATH` is never ready while there is one.
    """
    stop: list[int] = []
    signal.signal(signal.SIGTERM, signal.SIG_IGN if kind == "stays" else lambda number, _: stop.append(number))
    signal.signal(signal.SIGINT, lambda number, _: sys.exit(7))
    if kind == "fails" or (kind.startswith("until:") and Path(kind.removeprefix("until:")).exists()):
        sys.exit(3)
    while kind.startswith("slow:") and Path(kind.removeprefix("slow:")).exists():
        time.sleep(0.02)
    table.beat(row)
    table.set_stage(row, Stage.READY)
    _say(json.dumps({"ready": os.getpid()}))
    if kind == "dies":
        time.sleep(0.25)
        sys.exit(5)
    while not stop:
        time.sleep(0.02)
        if kind != "hangs":
            table.beat(row)


def main(arguments: list[Any]) -> int:
    if arguments[0] != "--worker":
        return parent(arguments[0], float(arguments[1]), arguments[2:])
    _, kind, row, table, ends_with, seconds = arguments
    threading.Thread(target=end_with, args=(int(ends_with), float(seconds)), daemon=True).start()
    worker(kind, int(row), WorkerTable(int(table)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
