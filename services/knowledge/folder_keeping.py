"""Which process takes in the knowledge folder: of many over one database one does, and its folder is what counts.

The right to it is a lease in the database, held with every document that is written: whoever was silent for too long
and lost it writes nothing more (a fencing token by its holder's name). With SQLite there is one process.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from infrastructure.database.repositories.folder_keeper import FolderKeeperRepository

_logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

LEASE_SECONDS = 10.0
_BEATS = 4  # in the length of a lease


class KeepingLost(Exception):
    """Another process takes in the folder by now. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """How it stands with the folder. `fresh`: another kept it before. `looked`: it was ever looked at to the end.
    `asked` of those who wanted it read anew are known, of which `waiting` says whether any is left to be served.
    """

    mine: bool
    fresh: bool = False
    looked: bool = True
    asked: int = 0
    waiting: bool = False


class FolderKeeping:
    """One process's part in it."""

    def __init__(self, database: Database, *, seconds: float = LEASE_SECONDS) -> None:
        self.alone = database.is_sqlite
        self.pause = seconds / _BEATS
        """Seconds after which to say again that this process is there, or to see whether the other is."""
        self._database = database
        self._seconds = seconds
        self._name = new_id()
        self._held = False

    async def take(self) -> Keeping:
        """Keep the folder, if nobody else does."""
        if self.alone:
            return Keeping(mine=True)
        async with self._database.write() as session:
            repository = FolderKeeperRepository(session)
            before = await repository.row()
            mine = await repository.take(self._name, self._seconds)
        self._held = mine
        fresh = mine and before.keeper != self._name
        if fresh:
            _logger.info("knowledge_folder_kept", first=not before.looked)
        return Keeping(mine, fresh, before.looked, before.asked, before.asked > before.done)

    async def hold(self, session: AsyncSession) -> None:
        """Make sure, in a unit of work, that this process still keeps the folder.

        Raises:
            KeepingLost
        """
        if not self.alone and not await FolderKeeperRepository(session).hold(self._name, self._seconds):
            self._held = False
            raise KeepingLost

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Stay the one meanwhile, however long it takes."""
        if self.alone:
            yield
            return
        beating = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def note_look(self, keeping: Keeping) -> None:
        """The folder was looked at to the end, since `keeping` was told."""
        if not self.alone and (not keeping.looked or keeping.waiting):
            async with self._database.write() as session:
                await FolderKeeperRepository(session).note_look(self._name, keeping.asked)

    async def ask(self) -> None:
        """Have whoever keeps the folder read it anew."""
        async with self._database.write() as session:
            await FolderKeeperRepository(session).ask()

    async def leave(self) -> None:
        """Let another process keep the folder."""
        if not self._held:
            return
        self._held = False
        try:
            async with self._database.write() as session:
                await FolderKeeperRepository(session).leave(self._name)
        except SQLAlchemyError as error:  # it is another's when the lease is over
            _logger.info("knowledge_folder_not_left", error=type(error).__name__)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.pause)
            try:
                async with self._database.write() as session:
                    await self.hold(session)
            except KeepingLost:
                return
            except SQLAlchemyError as error:
                _logger.warning("knowledge_folder_lease_not_extended", error=type(error).__name__)
