"""Runs that wait for a person, kept so that they outlast the process."""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from infrastructure.database.engine import Database
from infrastructure.database.repositories.checkpoints import CheckpointRepository, WaitingRun
from infrastructure.database.repositories.workers import WorkerRepository
from infrastructure.errors import StorageUnavailable
from services.storage_errors import as_storage_errors

AWAY = "The database does not answer. Try again in a moment."
MAX_TAKEN = 1000


class Checkpoints:
    """Fits the agents' `Store` port for runs that wait. `worker` is this process's name."""

    def __init__(self, database: Database, worker: str, *, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._worker = worker
        self._clock = clock

    async def keep(self, run_id: str, state: bytes, expires_in: float) -> None:
        """
        Raises:
            StorageUnavailable: the database does not answer, or the run's chat is gone.
        """
        expires_at = self._clock() + timedelta(seconds=expires_in)
        try:
            async with self._database.write() as session:
                await CheckpointRepository(session).add(run_id, state, expires_at)
        except (SQLAlchemyError, OSError) as error:
            raise StorageUnavailable(AWAY) from error

    async def claim(self, run_id: str) -> bool:
        """Forget what is kept of a run; False where it was claimed before.

        Raises:
            StorageUnavailable: the database does not answer.
        """
        try:
            async with self._database.write() as session:
                return await CheckpointRepository(session).delete(run_id)
        except (SQLAlchemyError, OSError) as error:
            raise StorageUnavailable(AWAY) from error

    async def release(self, run_id: str) -> None:
        """This process ends: another may go on with the run. Where the database is away none will but a restart's."""
        try:
            async with self._database.write() as session:
                await CheckpointRepository(session).release(run_id)
        except (SQLAlchemyError, OSError):
            return

    async def state(self, run_id: str) -> bytes | None:
        """What is kept of a run that waits, in whichever process; None where it does not.

        Raises:
            StorageUnavailable: the database does not answer.
        """
        with as_storage_errors():
            async with self._database.read() as session:
                return await CheckpointRepository(session).state(run_id)

    async def take(self) -> list[tuple[WaitingRun, float]]:
        """The runs that this process goes on with, now its own, each with the seconds that are left to answer: those
        that another has left in order, or has left by dying.
        """
        now, alone = self._clock(), self._database.is_sqlite
        async with self._database.write() as session:
            taken = await WorkerRepository(session, now).take_waiting(self._worker, MAX_TAKEN, alone=alone)
        return [(run, (run.expires_at - now).total_seconds()) for run in taken]
