"""Several workers on one port: a parent that starts them, replaces those that die, and restarts them one by one.

SIGTERM or SIGINT ends all, each draining; a second one ends them at once. SIGHUP replaces each worker by a new one,
which has the code and the `.env` of now; SIGTTIN and SIGTTOU make one more and one less. The parent serves nobody: it
holds the listening sockets, so that no connection that the kernel has taken is lost, whichever worker comes or goes.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from selectors import EVENT_READ, BaseSelector, DefaultSelector

import structlog

from backend.worker_table import ROWS, Stage, WorkerTable

log = structlog.get_logger()
TICK_SECONDS = 0.2
SETTLED_SECONDS = 5.0  # a worker that lived so long, once ready, did not die of how it was started
LOOP_OF_DEATHS = 5  # so many that died young in a row, and nobody who serves: something is wrong with all of them
LONGEST_PAUSE_SECONDS = 30.0
READY_SECONDS = 300.0  # what a replacement has to load the knowledge
HUNG_SECONDS = 60.0  # an event loop that stands still for so long will not go on
EXTRA_SECONDS = 14.0  # for ending, besides the grace that runs have; less than orchestrators are told to give
FAILED = 3  # the exit status where workers cannot serve; uvicorn's own of a start that failed

ORDERS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCHLD)
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


@dataclass(eq=False, slots=True)
class Worker:
    """A process, and what the parent knows of it. Times are by the monotonic clock."""

    process: subprocess.Popen[bytes]
    row: int
    life: int  # the end of a pipe: while the parent holds it the worker lives on
    born: float
    ready_at: float | None = None
    kill_at: float | None = None  # it was told to end, and has until then
    killed: bool = False
    proven: bool = False  # it has lived for a while

    @property
    def told(self) -> bool:
        return self.kill_at is not None

    def settled(self, now: float) -> bool:
        return self.ready_at is not None and now - self.ready_at >= SETTLED_SECONDS


class Workers:
    """`count` workers on `listeners`, each a process of `environment`. Ending may take `seconds`."""

    def __init__(
        self, count: int, listeners: Sequence[socket.socket], environment: Mapping[str, str], seconds: float,
        command: Sequence[str] = ("-m", "backend.worker"),
    ) -> None:  # fmt: skip
        self._count = count
        self._listeners = [listener.fileno() for listener in listeners]
        self._environment = environment
        self._seconds = seconds
        self._command = command
        self._table = WorkerTable()
        self._all: list[Worker] = []
        self._old: list[Worker] = []  # still to be replaced by a restart
        self._ending = False
        self._status = 0
        self._died_young = 0
        self._any_ready = False
        self._start_at = 0.0
        self._orders: list[int] = []

    def run(self) -> int:
        """Keep them at work until told to end; the exit status. On the main thread, where signals come."""
        waker, waked = socket.socketpair()
        for end in (waker, waked):
            end.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        before = {order: signal.signal(order, lambda number, _: self._orders.append(number)) for order in ORDERS}
        try:
            with DefaultSelector() as selector, waker, waked:
                selector.register(waked, EVENT_READ)
                self._work(selector, waked)
        finally:
            signal.set_wakeup_fd(-1)
            for order, handler in before.items():
                signal.signal(order, handler)
        return self._status

    def _work(self, selector: BaseSelector, waked: socket.socket) -> None:
        while True:
            self._step(time.monotonic())
            if self._ending and not self._all:
                return
            selector.select(TICK_SECONDS)
            with suppress(BlockingIOError):
                waked.recv(4096)

    def _step(self, now: float) -> None:
        while self._orders:
            self._obey(self._orders.pop(0), now)
        for worker in self._all:
            self._note_ready(worker, now)  # before any is found dead: it may have been ready since the last look
        for worker in tuple(self._all):
            self._look_at(worker, now)
        if not self._ending:
            self._fill(now)

    def _obey(self, order: int, now: float) -> None:
        if order in ENDING:
            log.info("ending", signal=signal.Signals(order).name, workers=len(self._all))
            if self._ending:
                for worker in self._all:
                    worker.process.send_signal(signal.SIGINT)  # the second one: at once
            self._end(0, now)
        elif order == signal.SIGHUP:
            log.info("restarting the workers one by one", workers=self._count)
            self._old = [worker for worker in self._all if not worker.told]
        elif order == signal.SIGTTIN:
            self._count = min(self._count + 1, ROWS // 4)
            log.info("one more worker", workers=self._count)
        elif order == signal.SIGTTOU and self._count > 1:
            self._count -= 1
            log.info("one worker less", workers=self._count)
        elif order == signal.SIGTTOU:
            log.info("the last worker stays")

    def _fill(self, now: float) -> None:
        """Start who is missing, tell who is too many. In a restart there is one more, until its elder has ended."""
        staying = [worker for worker in self._all if not worker.told]
        restarting = bool(self._old)
        missing = self._count + restarting - len(staying)
        if missing > 0:
            if restarting and len(staying) < len(self._all):  # the elder before is still ending
                missing -= 1
            for _ in range(missing if now >= self._start_at else 0):
                self._start(now)
        elif len(staying) > self._count and all(worker.ready_at for worker in staying if worker not in self._old):
            self._tell(self._old.pop(0) if restarting else staying[-1], now)

    def _start(self, now: float) -> None:
        row = self._table.claim()
        end, life = os.pipe()
        inherited = [self._table.file, end, *self._listeners]
        numbers = [row, self._table.file, end, self._seconds, *self._listeners]
        process = subprocess.Popen(  # noqa: S603 - this Python, and numbers of our own
            [sys.executable, *self._command, *map(str, numbers)], env=self._environment, pass_fds=inherited,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(end)
        self._all.append(Worker(process, row, life, now))
        log.info("worker started", worker=process.pid)

    def _note_ready(self, worker: Worker, now: float) -> None:
        if worker.ready_at is None and self._table.stage(worker.row) is Stage.READY:
            worker.ready_at = now
            self._any_ready = True
            log.info("worker ready", worker=worker.process.pid, after_seconds=round(now - worker.born, 1))
        if worker.settled(now) and not worker.proven:
            worker.proven = True
            self._died_young = 0

    def _look_at(self, worker: Worker, now: float) -> None:
        if worker.process.poll() is not None:
            self._bury(worker, now)
            return
        if worker.told:
            self._kill_if(worker, now >= (worker.kill_at or now), "a worker did not end in time and is killed")
        elif self._old and worker not in self._old and worker.ready_at is None:
            self._kill_if(worker, now - worker.born > READY_SECONDS, "a worker was not ready in time and is killed")
        else:
            self._kill_if(worker, self._table.silent(worker.row) > HUNG_SECONDS, "a worker hangs and is killed")

    def _kill_if(self, worker: Worker, so: bool, event: str) -> None:
        if so and not worker.killed:
            log.error(event, worker=worker.process.pid)
            worker.killed = True
            worker.process.kill()

    def _bury(self, worker: Worker, now: float) -> None:
        """Let go of what a dead one had; one that nobody told to end is replaced."""
        self._all.remove(worker)
        self._table.free(worker.row)
        os.close(worker.life)
        status = worker.process.returncode
        if worker.told:
            if self._ending and status not in (0, -signal.SIGTERM) and not self._status:  # it may not listen yet
                self._status = 1
            log.info("worker ended", worker=worker.process.pid, exit_status=status)
            return
        log.error("a worker died", worker=worker.process.pid, after_seconds=round(now - worker.born, 1), **_how(status))
        if not self._ending:
            self._after_death(worker, now)

    def _after_death(self, worker: Worker, now: float) -> None:
        if worker in self._old:
            self._old.remove(worker)
        elif self._old and worker.ready_at is None:
            log.error("the restart is given up: a new worker does not start", left=len(self._old))
            self._old = []
        self._died_young = 0 if worker.settled(now) else self._died_young + 1
        serving = any(other.settled(now) for other in self._all)
        if not self._any_ready:
            self._give_up("the workers do not start", now)
        elif self._died_young >= LOOP_OF_DEATHS and not serving:
            self._give_up("the workers die as soon as they have started", now)
        elif self._died_young > 1:
            self._start_at = now + min(2.0 ** (self._died_young - 2), LONGEST_PAUSE_SECONDS)

    def _give_up(self, why: str, now: float) -> None:
        log.error(f"the service ends: {why}")
        self._end(FAILED, now)

    def _end(self, status: int, now: float) -> None:
        self._ending = True
        self._status = self._status or status
        for worker in self._all:
            if not worker.told:
                self._tell(worker, now)

    def _tell(self, worker: Worker, now: float) -> None:
        worker.kill_at = now + self._seconds
        worker.process.terminate()


def _how(status: int) -> dict[str, int | str]:
    if status >= 0:
        return {"exit_status": status}
    with suppress(ValueError):
        return {"signal": signal.Signals(-status).name}
    return {"signal": str(-status)}  # a real-time one has no name
