"""The parent of several workers: who dies is replaced, who cannot live ends the service, signals do what they say.

The workers are small ones; real ones are in tests/e2e/test_workers.py.
"""

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs

from backend.workers import Workers
from tests.backend.worker_parent import WORKER
from tests.e2e.service import ROOT

SECONDS = 60


class Parent:
    """A running parent; `lines` is what it and its workers said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._changed = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            async with self._changed:
                self.lines.append(json.loads(line))
                self._changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS), self._changed:
            await self._changed.wait_for(condition)

    async def ready(self, count: int) -> list[int]:
        """The process ids of workers, in the order of their becoming ready, when there were so many."""
        await self.until(lambda: len(self._ready) >= count)
        return self._ready

    @property
    def _ready(self) -> list[int]:
        return [line["ready"] for line in self.lines if "ready" in line]

    def said(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("event") == event]

    async def says(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        await self.until(lambda: len(self.said(event)) >= count)
        return self.said(event)

    def order(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        status = await asyncio.wait_for(self.process.wait(), SECONDS)
        await self._reader
        return status

    def living(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.process.pid).children()}


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Any]]:
    begun: list[Parent] = []
    environment = {name: value for name, value in os.environ.items() if name.startswith("COV")}
    environment |= {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}

    async def begin(kind: str, seconds: float = 20, **constants: float) -> Parent:
        given = [f"{name}={number}" for name, number in constants.items()]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.backend.worker_parent", kind, str(seconds), *given,
            env=environment, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        begun.append(Parent(process))
        return begun[-1]

    yield begin
    for parent in begun:
        if parent.process.returncode is None:
            parent.process.kill()
            await parent.ended()


Start = Callable[..., Any]


async def test_two_workers_begin_and_end_with_their_parent(start: Start) -> None:
    parent = await start("good")
    workers = await parent.ready(2)
    assert parent.living() == set(workers)
    parent.order(signal.SIGTERM)
    assert await parent.ended() == 0
    assert sorted(line["worker"] for line in parent.said("worker ended")) == sorted(workers)
    assert {line["exit_status"] for line in parent.said("worker ended")} == {0}


async def test_a_dead_worker_is_told_of_in_one_line_and_replaced(start: Start) -> None:
    parent = await start("good")
    first, second = await parent.ready(2)
    os.kill(first, signal.SIGKILL)
    third = (await parent.ready(3))[-1]
    (told,) = parent.said("a worker died")
    assert (told["worker"], told["signal"]) == (first, "SIGKILL")
    assert parent.living() == {second, third}
    parent.order(signal.SIGINT)
    assert await parent.ended() == 0


async def test_workers_that_do_not_start_end_the_service(start: Start) -> None:
    parent = await start("fails")
    assert await parent.ended() == 3
    assert parent.said("the service ends: the workers do not start")
    assert parent.said("a worker died")[0]["exit_status"] == 3


async def test_workers_that_die_young_one_after_the_other_end_the_service(start: Start) -> None:
    parent = await start("dies", SETTLED_SECONDS=20, LONGEST_PAUSE_SECONDS=0.05)
    assert await parent.ended() == 3
    assert parent.said("the service ends: the workers die as soon as they have started")
    assert len(parent.said("a worker died")) >= 5
    assert {line["exit_status"] for line in parent.said("a worker died")} == {5}


async def test_a_restart_has_a_new_worker_ready_before_an_old_one_is_told_to_end(start: Start) -> None:
    parent = await start("good")
    old = set(await parent.ready(2))
    parent.order(signal.SIGHUP)
    await parent.says("worker ended", 2)
    new = set((await parent.ready(4))[2:])
    assert not old & new
    assert parent.living() == new
    assert [line["worker"] in old for line in parent.said("worker ended")] == [True, True]
    order = [line.get("event") or "ready" for line in parent.lines]
    begun = order.index("restarting the workers one by one")
    life = [event for event in order[begun:] if event in ("worker started", "ready", "worker ended")]
    assert life == ["worker started", "ready", "worker ended"] * 2
    parent.order(signal.SIGTERM)
    assert await parent.ended() == 0


async def test_a_restart_whose_new_worker_does_not_start_leaves_the_old_ones(start: Start, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    parent = await start(f"until:{broken}")
    old = set(await parent.ready(2))
    broken.touch()
    parent.order(signal.SIGHUP)
    await parent.says("the restart is given up: a new worker does not start")
    assert parent.living() == old
    broken.unlink()
    parent.order(signal.SIGHUP)
    await parent.says("worker ended", 2)
    assert not parent.living() & old
    parent.order(signal.SIGTERM)
    assert await parent.ended() == 0


async def test_while_one_serves_another_is_started_again_and_again(start: Start, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    parent = await start(f"until:{broken}", SETTLED_SECONDS=0, LONGEST_PAUSE_SECONDS=0.05)
    first, second = await parent.ready(2)
    broken.touch()
    os.kill(first, signal.SIGKILL)
    await parent.says("a worker died", 7)  # more than the five that would be too many
    assert second in parent.living()
    broken.unlink()
    third = (await parent.ready(3))[-1]
    assert {second, third} <= parent.living()
    parent.order(signal.SIGTERM)
    assert await parent.ended() == 0


async def test_a_restart_whose_new_worker_is_never_ready_leaves_the_old_ones(start: Start, tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    parent = await start(f"slow:{slow}", READY_SECONDS=0.5)
    old = set(await parent.ready(2))
    slow.touch()
    parent.order(signal.SIGHUP)
    await parent.says("a worker was not ready in time and is killed")
    await parent.says("the restart is given up: a new worker does not start")
    assert parent.living() == old


async def test_a_signal_in_a_restart_ends_it_at_once(start: Start) -> None:
    parent = await start("stays", seconds=0.5)
    await parent.ready(2)
    parent.order(signal.SIGHUP)
    await parent.ready(3)
    parent.order(signal.SIGTERM)
    assert await parent.ended() == 1
    assert len(parent.said("a worker did not end in time and is killed")) == 3


async def test_one_more_and_one_less(start: Start) -> None:
    parent = await start("good")
    await parent.ready(2)
    parent.order(signal.SIGTTIN)
    three = set(await parent.ready(3))
    assert parent.living() == three
    for count in (1, 2):
        parent.order(signal.SIGTTOU)
        await parent.says("worker ended", count)
    parent.order(signal.SIGTTOU)
    await parent.says("the last worker stays")
    assert len(parent.living()) == 1
    parent.order(signal.SIGTERM)
    assert await parent.ended() == 0


async def test_a_worker_whose_loop_stands_still_is_replaced(start: Start) -> None:
    parent = await start("hangs", HUNG_SECONDS=0.5)
    first = (await parent.ready(2))[0]
    await parent.says("a worker hangs and is killed")
    await parent.ready(3)
    assert first not in parent.living()


async def test_a_second_signal_ends_them_at_once(start: Start) -> None:
    parent = await start("stays")
    await parent.ready(2)
    parent.order(signal.SIGTERM)
    await parent.says("ending")
    parent.order(signal.SIGTERM)
    assert await parent.ended() == 1
    assert {line["exit_status"] for line in parent.said("worker ended")} == {7}


async def test_workers_end_when_their_parent_is_killed(start: Start) -> None:
    parent = await start("good")
    workers = [psutil.Process(pid) for pid in await parent.ready(2)]
    parent.process.kill()
    gone, alive = await asyncio.to_thread(psutil.wait_procs, workers, timeout=SECONDS)
    assert not alive
    assert len(gone) == 2


async def test_a_worker_that_ignores_its_parents_death_is_ended_all_the_same(start: Start) -> None:
    parent = await start("stays", seconds=0.3)
    workers = [psutil.Process(pid) for pid in await parent.ready(2)]
    parent.process.kill()
    _, alive = await asyncio.to_thread(psutil.wait_procs, workers, timeout=SECONDS)
    assert not alive


def here(kind: str, orders: list[tuple[str, int, Any]]) -> tuple[int, list[Any]]:
    """Be the parent: the exit status, and what it logged. Each order is given when that event was logged so often; it
    is a signal to the parent, or to be called with the ids of those that started.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = Workers(2, [], environment, 20.0, (*WORKER, kind))
    with capture_logs() as logged:

        def give() -> None:
            for event, count, order in orders:
                while [line["event"] for line in logged].count(event) < count:
                    time.sleep(0.02)
                if callable(order):
                    order([line["worker"] for line in logged if line["event"] == "worker started"])
                else:
                    os.kill(os.getpid(), order)

        giver = threading.Thread(target=give, daemon=True)
        giver.start()
        status = parent.run()
        giver.join(SECONDS)
    return status, logged


def test_a_whole_life() -> None:
    before = signal.getsignal(signal.SIGTERM)
    status, logged = here(
        "good",
        [
            ("worker ready", 2, lambda pids: os.kill(pids[0], signal.SIGKILL)),
            ("worker ready", 3, signal.SIGHUP),
            ("worker ended", 2, signal.SIGTTIN),
            ("worker ready", 6, signal.SIGTTOU),
            ("worker ended", 3, signal.SIGTERM),
        ],
    )
    events = [line["event"] for line in logged]
    assert status == 0
    assert events.count("worker started") == 6
    assert events.count("worker ended") == 5
    assert [line["signal"] for line in logged if line["event"] == "a worker died"] == ["SIGKILL"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_life_that_does_not_begin() -> None:
    status, logged = here("fails", [])
    assert status == 3
    assert "the service ends: the workers do not start" in [line["event"] for line in logged]
