"""A worker's right to its runs: it lasts for as long as the worker is heard of.

Each worker moves the end of its own lease on, several times within its length. Runs of one whose lease is over are
another's to take: in the database, with a fence that is one higher, so that whatever the old worker still writes of
them is refused (fencing tokens, as in Kleppmann, "How to do distributed locking", 2016).

A worker that could not reach the database itself does not judge others for a whole lease after that: they may have had
the same trouble. On SQLite there is one process, and every other worker is one that is gone.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

from infrastructure.database.engine import Database
from infrastructure.database.repositories.workers import LostRun, WorkerRepository, beat, what_is_left

BEATS = 3  # in the length of a lease
FORGET_SECONDS = 3600.0
MAX_TAKEN = 200  # runs at once


class Leases:
    """The lease of `worker`, for `seconds` from each beat. `apart` tells whether it shows frames that others cannot
    have. Errors of the database are SQLAlchemy's, or OSError.
    """

    def __init__(
        self, database: Database, worker: str, *, seconds: float, clock: Callable[[], datetime],
        apart: Callable[[], bool] = lambda: False, monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.worker = worker
        self.alone = database.is_sqlite
        self.pause = seconds / BEATS
        """Seconds between two beats."""
        self._database = database
        self._seconds = seconds
        self._clock = clock
        self._apart = apart
        self._monotonic = monotonic
        self._beaten_at: float | None = None
        self._steady_since: float | None = None
        self._left = False
        self._turn = asyncio.Lock()

    async def beat(self) -> None:
        """Say that this worker lives, until it has left."""
        async with self._turn:
            if not self._left:
                await self._beat()

    async def _beat(self) -> None:
        begun = self._monotonic()
        alive = partial(beat, worker=self.worker, seconds=self._seconds, apart=self._apart())
        await self._database.transact(partial(alive, now=self._clock(), forget=FORGET_SECONDS))
        if self._beaten_at is None or begun - self._beaten_at > self._seconds:
            self._steady_since = begun
        self._beaten_at = begun

    async def leave(self) -> None:
        """This worker ends: what it leaves unfinished is others' at once, and costs no attempt."""
        async with self._turn, self._database.write() as session:
            self._left = True
            await WorkerRepository(session, self._clock()).leave(self.worker)

    async def left(self) -> tuple[bool, bool]:
        """Whether there may be runs to take that wait for a person, and runs that other workers were at."""
        if self.alone:
            return True, True
        return await self._database.look(partial(what_is_left, worker=self.worker))

    async def take_lost(self) -> list[LostRun]:
        """Runs of dead workers, this one's from now on."""
        if not self._may_judge:
            return []
        async with self._database.write() as session:
            return await WorkerRepository(session, self._clock()).take_lost(self.worker, MAX_TAKEN, alone=self.alone)

    @property
    def _may_judge(self) -> bool:
        if self.alone:
            return True
        now = self._monotonic()
        if self._beaten_at is None or self._steady_since is None or now - self._beaten_at > self._seconds:
            return False
        return now - self._steady_since >= self._seconds
