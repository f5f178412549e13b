"""Indexing uploads in the background: whose turn it is, what becomes of a file that fails, and when to look again."""

import asyncio
import os
import random
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import structlog
from sqlalchemy.exc import SQLAlchemyError

from infrastructure.database.engine import Database, is_unavailable
from infrastructure.database.repositories.file_queue import NOBODY, ClaimedFile, FileQueueRepository
from infrastructure.errors import AskGraphError, StorageUnavailable
from services.file_lease import Lease, LeaseLost
from services.file_storage import FileStorage
from services.file_worker import FileWorker, Index, Indexed, Reading
from services.serving_model import ServingModel

_logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

BATCH = 256
LEASE_SECONDS = 60.0
MAX_ATTEMPTS = 4
RETRY_SECONDS = 2.0  # doubled with each attempt: 4, 8, 16
_LOOK_SECONDS = 3.0  # until what another process brought is seen, the command line say
_AWAY_SECONDS = 5.0  # between tries to reach a database that is away
_GIVE_BACK_SECONDS = 2.0  # that the service's end may take
_UNREADABLE = "It could not be read."
_CUT_OFF = "the service ended each time"


class FileIndexing:
    """Makes uploads searchable, `concurrency` at a time, owner after owner.

    `sole`: no other process indexes files of this database, so whatever is being read when this starts was left by a
    dead one; by default so with SQLite. `jitter` gives numbers in [0, 1).
    """

    def __init__(
        self,
        database: Database,
        storage: FileStorage,
        reading: Reading,
        serving: ServingModel,
        index: Index,
        *,
        clock: Callable[[], datetime],
        worker_id: str,
        temp_dir: Path,
        batch: int = BATCH,
        lease_seconds: float = LEASE_SECONDS,
        max_attempts: int = MAX_ATTEMPTS,
        concurrency: int = 1,
        recipe: str = "",
        sole: bool | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._worker = FileWorker(
            database, storage, reading, serving, index, clock=clock, temp_dir=temp_dir, batch=batch, recipe=recipe
        )  # fmt: skip
        self._database = database
        self._clock = clock
        self._worker_id = worker_id
        self._temp_dir = temp_dir
        self._lease_seconds = lease_seconds
        self._max_attempts = max_attempts
        self._concurrency = concurrency
        self._sole = database.is_sqlite if sole is None else sole
        self._jitter = jitter
        self._news = asyncio.Event()
        self._served = NOBODY

    def wake(self) -> None:
        """Say that a file has come."""
        self._news.set()
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Index files as they come, until cancelled. A file that is under way then goes back, and waits for the next
        start."""
        while not await self._begun():  # noqa: ASYNC110  no event tells that a database is back
            await asyncio.sleep(_AWAY_SECONDS)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrency):
                group.create_task(self._serve())

    async def begin(self) -> None:
        """Clear up what dead processes left.

        Raises:
            SQLAlchemyError: the database is away.
        """
        async with self._database.write() as session:
            left = await FileQueueRepository(session).void_leases() if self._sole else 0
        if left:
            _logger.warning("file_indexing_was_cut_off", files=left)
        names = await asyncio.to_thread(_names, self._temp_dir)
        async with self._database.read() as session:
            living = await FileQueueRepository(session).living(names)
        await asyncio.to_thread(_remove, self._temp_dir, [name for name in names if name not in living])

    async def index_one(self) -> bool:
        """Claim a file that is due and index it, whatever comes of it; False when none is due.

        Raises:
            SQLAlchemyError: no file could be claimed.
        """
        file = await self._claim()
        if file is None:
            return False
        lease = Lease(self._database, file, clock=self._clock, seconds=self._lease_seconds)
        try:
            await self._index(lease)
        except asyncio.CancelledError:
            await self._give_back(lease)
            raise
        except LeaseLost:
            _logger.info("file_indexing_given_up", file=file.id)
        except SQLAlchemyError as error:  # its end cannot be noted: it is taken up again when the lease ends
            _logger.warning("file_indexing_not_noted", file=file.id, error=type(error).__name__)
        return True

    async def _begun(self) -> bool:
        try:
            await self.begin()
        except (SQLAlchemyError, OSError) as error:
            _logger.warning("file_indexing_waits", error=type(error).__name__)
            return False
        return True

    async def _serve(self) -> None:
        while True:
            news = self._news
            try:
                if await self.index_one():
                    continue
                seconds = await self._seconds_to_next()
            except Exception as error:  # noqa: BLE001  the edge of the task: it must outlive a database that is away
                _logger.warning("file_indexing_waits", error=type(error).__name__)
                seconds = _AWAY_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await news.wait()

    async def _claim(self) -> ClaimedFile | None:
        now = self._clock()
        lease = f"{self._worker_id[:40]}-{uuid4().hex[:16]}"
        until = now + timedelta(seconds=self._lease_seconds)
        async with self._database.write() as session:
            file = await FileQueueRepository(session).claim(lease, now, until, self._served)
        if file is not None:
            self._served = file.owner_id or NOBODY
        return file

    async def _seconds_to_next(self) -> float:
        now = self._clock()
        async with self._database.read() as session:
            due = await FileQueueRepository(session).next_due(now)
        if due is None:
            return _LOOK_SECONDS
        return min(max((due - now).total_seconds(), 0.0) + 0.01, _LOOK_SECONDS)

    async def _index(self, lease: Lease) -> None:
        """Index a file; every failure becomes its state.

        Raises:
            LeaseLost
            SQLAlchemyError: the failure could not be noted.
        """
        if lease.file.attempts > self._max_attempts:
            await self._fail(lease, self._given_up(_CUT_OFF))
            return
        began = time.monotonic()
        try:
            found = await self._worker.run(lease)
        except LeaseLost:
            raise
        except AskGraphError as error:
            await self._failed(lease, error)
        except Exception as error:  # noqa: BLE001  the edge of a file's own work: a bug must not hold up the others
            if is_unavailable(error):
                await self._failed(lease, StorageUnavailable("The database or the disk cannot be used."))
            else:
                _logger.error("file_indexing_failed", file=lease.file.id, error=_place_of(error))
                await self._fail(lease, _UNREADABLE)
        else:
            _log_indexed(lease.file, found, time.monotonic() - began)

    async def _failed(self, lease: Lease, error: AskGraphError) -> None:
        attempts = lease.file.attempts
        _logger.warning("file_not_indexed", file=lease.file.id, kind=error.kind, attempts=attempts)
        if not error.retryable:
            await self._fail(lease, error.message)
        elif attempts >= self._max_attempts:
            await self._fail(lease, self._given_up(error.message))
        else:
            delay = RETRY_SECONDS * 2**attempts * (0.75 + 0.5 * self._jitter())
            await lease.end(
                status="uploaded", retry_at=self._clock() + timedelta(seconds=delay), chunks_processed=0,
                total_chunks_expected=None,
            )  # fmt: skip

    def _given_up(self, reason: str) -> str:
        return f"Given up after {self._max_attempts} attempts: {reason}"

    async def _fail(self, lease: Lease, reason: str) -> None:
        async with lease.extended():
            await self._worker.discard(lease)
        await lease.end(
            status="failed", error_message=reason, finished_at=self._clock(), chunks_processed=0, chunks_count=0
        )

    async def _give_back(self, lease: Lease) -> None:
        """Put back a file that the service's end cut off, for no fault of its own."""
        try:
            async with asyncio.timeout(_GIVE_BACK_SECONDS):
                await lease.end(
                    status="uploaded", attempts=lease.file.attempts - 1, chunks_processed=0, total_chunks_expected=None
                )
        except (LeaseLost, SQLAlchemyError, TimeoutError) as error:
            _logger.info("file_not_given_back", file=lease.file.id, error=type(error).__name__)


def _log_indexed(file: ClaimedFile, found: Indexed, seconds: float) -> None:
    stages = {f"{stage}_seconds": round(value, 3) for stage, value in found.seconds.items()}
    _logger.info(
        "file_indexed", file=file.id, bytes=file.size_bytes, chunks=len(found.records), attempts=file.attempts,
        seconds=round(seconds, 3), **stages,
    )  # fmt: skip


def _place_of(error: Exception) -> str:
    """The kind of an error and the line it came from: its message could hold the document's text."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


def _names(folder: Path) -> list[str]:
    with suppress(FileNotFoundError):
        return os.listdir(folder)
    return []


def _remove(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)
