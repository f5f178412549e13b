"""Following what other processes do to the knowledge: their changes come into this process's index.

The database counts the changes of each partition, so one small query tells which of those that are in memory are
behind. It is asked every second, and at once when somebody says that there is news.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from infrastructure.database.engine import Database
from infrastructure.database.models import SHARED
from infrastructure.database.repositories.partitions import generations

_logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0


class Index(Protocol):
    """What search looks into."""

    def held(self) -> Mapping[str, int]:
        """The generation of each partition that is in memory."""

    async def bring(self, partition: str) -> None:
        """Take in what the database has of a partition."""


class Shelf(Protocol):
    """What keeps a list of the shared documents."""

    def follow(self, generation: int) -> None:
        """The shared knowledge is of this generation now."""


class KnowledgeFollower:
    """Brings the index up to date. `writing` tells whether this process is taking in the knowledge folder: then the
    shared knowledge is changed by no other one, and its own changes are on their way.
    """

    def __init__(
        self,
        database: Database,
        index: Index,
        shelf: Shelf,
        writing: Callable[[], bool] = lambda: False,
        *,
        seconds: float = LOOK_SECONDS,
    ) -> None:
        self._database = database
        self._index = index
        self._shelf = shelf
        self._writing = writing
        self._seconds = seconds
        self._news = asyncio.Event()
        self._behind = False

    def wake(self) -> None:
        """Look at once: another process says that it has changed something."""
        self._news.set()

    async def run(self) -> None:
        """Follow until cancelled. With SQLite there is no other process, and nothing to do."""
        while not self._database.is_sqlite:
            self._news.clear()
            await self._look_and_go_on()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await self._news.wait()

    async def look(self) -> None:
        """Bring in all that other processes have committed by now.

        Raises:
            SQLAlchemyError: the database is away.
        """
        held = self._index.held()
        stored = await self._database.look(partial(generations, partitions=list({SHARED, *held})))
        self._shelf.follow(stored.get(SHARED, 0))
        for partition, generation in held.items():
            if generation != stored.get(partition, 0) and not (partition == SHARED and self._writing()):
                await self._index.bring(partition)

    async def _look_and_go_on(self) -> None:
        try:
            await self.look()
        except SQLAlchemyError as error:  # said once, not every second
            if not self._behind:
                _logger.warning("knowledge_not_followed", error=type(error).__name__)
            self._behind = True
        except Exception:  # the edge of the task: a fault must not end the following
            _logger.exception("knowledge_following_failed")
        else:
            self._behind = False
