"""A worker's right to a file: for a time, extended for as long as it works, and checked with whatever it writes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.engine import Database
from infrastructure.database.repositories.file_chunks import ChunkBatch, add_chunk_batch
from infrastructure.database.repositories.file_queue import ClaimedFile, FileQueueRepository

_logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
T = TypeVar("T")
_BEATS = 3  # tries to extend a lease before it ends


class LeaseLost(Exception):
    """The file is gone, or another's by now. Nothing was written."""


class Lease:
    """What one claim may do to its file. Everything written here is written only while the file is this claim's."""

    def __init__(self, database: Database, file: ClaimedFile, *, clock: Callable[[], datetime], seconds: float) -> None:
        self.file = file
        self._database = database
        self._clock = clock
        self._length = timedelta(seconds=seconds)

    @asynccontextmanager
    async def transaction(self, **values: Any) -> AsyncIterator[AsyncSession]:
        """A unit of work that changes `values` of the file, and extends the lease.

        Raises:
            LeaseLost: before anything was done.
        """
        now = self._clock()
        async with self._database.write() as session:
            values = {"leased_until": now + self._length, "updated_at": now, **values}
            if not await FileQueueRepository(session).hold(self.file.id, self.file.lease, **values):
                raise LeaseLost
            yield session

    async def note(self, **values: Any) -> None:
        """Change `values` of the file, by themselves."""
        async with self.transaction(**values):
            """There is nothing else to do."""

    async def end(self, **values: Any) -> None:
        """Give up the file with `values`, its new status among them."""
        await self.note(**values, worker=None, leased_until=None, stage=None)

    async def add_chunks(
        self, first: int, last_row: int, chunks: list[dict[str, Any]], model: str, embeddings: list[bytes]
    ) -> list[int]:
        """Add chunks and what `model` makes of them in one short transaction, counted as processed; their rows.

        Raises:
            LeaseLost
        """
        now = self._clock()
        batch = ChunkBatch(
            self.file.id, self.file.lease, first, last_row, chunks, model, embeddings, now, now + self._length
        )
        rows = await self._database.transact(lambda rows: add_chunk_batch(rows, batch))
        if rows is None:
            raise LeaseLost
        return rows

    async def while_held(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work`, extending the lease meanwhile; when it is lost the work is ended.

        Raises:
            LeaseLost
        """
        working, beating = asyncio.ensure_future(work), asyncio.create_task(self._until_lost())
        try:
            await asyncio.wait((working, beating), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise LeaseLost
            return working.result()
        finally:
            await _ended(working, beating)

    @asynccontextmanager
    async def extended(self) -> AsyncIterator[None]:
        """Extend the lease meanwhile; when it is lost the next thing written says so."""
        beating = asyncio.create_task(self._until_lost())
        try:
            yield
        finally:
            await _ended(beating)

    async def _until_lost(self) -> None:
        """Extend the lease again and again. A database that is away for a moment costs no lease: others are no
        better off."""
        while True:
            await asyncio.sleep(self._length.total_seconds() / _BEATS)
            try:
                await self.note()
            except LeaseLost:
                return
            except SQLAlchemyError as error:
                _logger.warning("file_lease_not_extended", file=self.file.id, error=type(error).__name__)


async def _ended(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
