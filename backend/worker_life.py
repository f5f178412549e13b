"""This process among others: heard of while it lives, and heir of those that died."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog
from sqlalchemy.exc import SQLAlchemyError

from agents.keeping import Keeper
from agents.ports import EventLog
from agents.reviving import Waiting, revive_all
from agents.taking_over import TakeOver
from infrastructure.database.repositories.workers import LostRun
from infrastructure.errors import NotFound, StorageUnavailable
from services.leases import Leases

log = structlog.get_logger()
LOOK_SECONDS = 0.5
AT_ONCE = 16  # runs of a dead worker that are begun together
AWAY = (SQLAlchemyError, OSError, StorageUnavailable)
"""What the database's absence looks like from here. Everything is tried again."""


class WorkerLife:
    """Beats, and goes on with what others left: runs that wait for a person, and runs they were at when they died.

    `followed` names the runs of others that are read here: their writer may die between keeping an answer and saying
    its last frame.
    """

    def __init__(
        self, leases: Leases, take_over: TakeOver, checkpoints: Waiting, keeper: Keeper, event_log: EventLog,
        followed: Callable[[], list[str]],
    ) -> None:  # fmt: skip
        self._leases = leases
        self._take_over = take_over
        self._checkpoints = checkpoints
        self._keeper = keeper
        self._log = event_log
        self._followed = followed
        self._ended: set[str] = set()  # of these, what had been kept when they were last looked at
        self._knows = asyncio.Event()
        self._news = asyncio.Event()
        self._taken: list[LostRun] = []  # ours, and not begun yet

    async def begin(self) -> None:
        """Be heard of, before any run is begun.

        Raises:
            SQLAlchemyError, OSError: the database does not answer.
        """
        if not self._leases.alone:
            await self._leases.beat()

    async def know(self) -> None:
        """The knowledge is there, questions can be answered: where there is no other process, what was left is taken up
        before this returns.
        """
        if self._leases.alone:
            try:
                await self._inherit()
            except AWAY as error:
                log.warning("runs that were left unfinished could not be looked at", error=type(error).__name__)
        self._knows.set()

    async def beat(self) -> None:
        """Be heard of, for ever. On one machine alone nobody listens."""
        while not self._leases.alone:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._leases.pause):
                    await self._news.wait()
            self._news.clear()
            try:
                await self._leases.beat()
            except AWAY as error:
                log.warning("this worker's lease could not be extended", error=type(error).__name__)

    def stand_apart(self) -> None:
        """Have the others know at once whether this worker shows frames that they cannot have."""
        self._news.set()

    async def follow(self) -> None:
        """Take over what others leave, for ever."""
        await self._knows.wait()
        while not self._leases.alone:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._inherit()
                await self._conclude()
            except AWAY as error:
                log.warning("runs of other workers were not looked at", error=type(error).__name__)

    async def leave(self) -> None:
        """What is left unfinished here is others' from now on."""
        if self._leases.alone:
            return
        try:
            await self._leases.leave()
        except AWAY as error:
            log.warning("this worker's lease runs on", error=type(error).__name__)

    async def _inherit(self) -> None:
        waiting, lost = await self._leases.left()
        if waiting and (revived := await revive_all(self._take_over, self._checkpoints)):
            log.info("runs that wait for an approval were taken up", runs=revived)
        if lost:
            self._taken += await self._leases.take_lost()
        while self._taken:
            some, later = self._taken[:AT_ONCE], self._taken[AT_ONCE:]
            begun = await asyncio.gather(*map(self._take_over.begin_anew, some), return_exceptions=True)
            away = [(run, error) for run, error in zip(some, begun, strict=True) if isinstance(error, AWAY)]
            self._taken = [*later, *(run for run, _ in away)]
            for run, error in zip(some, begun, strict=True):
                if error is not None and not isinstance(error, AWAY):  # a fault of our own: the others go on
                    log.error("a run could not be begun anew", run_id=run.id, exc_info=error)
            for _, error in away:
                raise error

    async def _conclude(self) -> None:
        """Say the last frame of runs here whose end is kept. One that was kept just now has it on its way."""
        followed = self._followed()
        ended = await self._keeper.ended_of(followed) if followed else set()
        for run_id in ended & self._ended:
            try:
                await self._keeper.conclude(run_id, self._log)
            except NotFound:  # deleted meanwhile
                continue
        self._ended = ended
