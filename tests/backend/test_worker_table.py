"""The page that workers share: who accepts, how busy each is, who is alive."""

import os
import subprocess
import sys
import time

import pytest

from backend.accepting import Seat
from backend.worker_table import CLOSED, ROWS, Stage, WorkerTable


def test_rows_are_claimed_freed_and_claimed_again() -> None:
    table = WorkerTable()
    assert [table.claim() for _ in range(3)] == [0, 1, 2]
    table.free(1)
    assert table.stage(1) is Stage.NONE
    assert table.claim() == 1
    assert [table.claim() for _ in range(ROWS - 3)] == list(range(3, ROWS))


def test_only_who_accepts_has_a_load() -> None:
    table = WorkerTable()
    seats = [Seat(table, table.claim()) for _ in range(3)]
    assert [seat.alone for seat in seats] == [True] * 3
    assert seats[0].lead == 0
    seats[0].open()
    seats[1].open()
    seats[2].beat()
    assert [seat.alone for seat in seats] == [False] * 3
    seats[0].connected(3)
    seats[0].coming(2)
    seats[1].connected(4)
    assert [seat.lead for seat in seats[:2]] == [1, -1]
    seats[1].leave()
    assert table.loads(0) == []
    assert table.stage(1) is Stage.LEAVING
    assert (seats[0].alone, seats[0].lead) == (True, 0)
    seats[1].connected(2)
    assert table.loads(0) == []
    table.free(0)
    assert table.loads(2) == []
    assert CLOSED < 0


def test_one_whose_loop_stands_still_is_not_counted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    table = WorkerTable()
    seats = [Seat(table, table.claim()) for _ in range(2)]
    for seat in seats:
        seat.open()
    seats[0].connected(3)
    assert (seats[0].lead, seats[0].alone) == (3, False)
    later = time.monotonic() + 2
    monkeypatch.setattr("backend.worker_table.time.monotonic", lambda: later)
    assert (seats[0].lead, seats[0].alone) == (0, True)
    assert table.silent(1) >= 2
    seats[1].beat()
    assert (seats[0].lead, seats[0].alone) == (3, False)


def test_it_is_the_same_page_in_another_process() -> None:
    table = WorkerTable()
    row = table.claim()
    assert table.silent(row) == 0
    code = (
        "import sys; from backend.worker_table import *; t = WorkerTable(int(sys.argv[1]))\n"
        "t.beat(0); t.set_stage(0, Stage.READY); t.set_load(0, 7)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(table.file)], pass_fds=[table.file], env=environment, check=True)
    assert table.stage(row) is Stage.READY
    assert table.loads(1) == [7]
    assert 0 < table.silent(row) < 30
