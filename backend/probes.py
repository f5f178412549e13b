"""Parts that are tried to know how they are: not more often than every few seconds, however many people look."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from infrastructure.database.engine import Database
from infrastructure.errors import AskGraphError

log = structlog.get_logger()
PATIENCE_SECONDS = 2.0
FAULTS = (AskGraphError, SQLAlchemyError, OSError)


@dataclass(frozen=True, slots=True)
class Probed:
    """`seconds`: how long it took, or has taken so far. `ok` None: there is no answer yet."""

    ok: bool | None
    seconds: float


class Probe:
    """`attempt` raises where the part does not work. There is one at a time, and its result is good for `pause()` s."""

    def __init__(
        self, name: str, attempt: Callable[[], Awaitable[None]], pause: Callable[[], float],
        patience: float = PATIENCE_SECONDS, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._name = name
        self._attempt = attempt
        self._pause = pause
        self._patience = patience
        self._clock = clock
        self._begun = 0.0
        self._last: Probed | None = None
        self._trying: asyncio.Task[None] | None = None

    async def look(self) -> Probed:
        """The latest result, or a fresh one; waits `patience` seconds at most."""
        if self._trying is None and (self._last is None or self._clock() - self._begun >= self._pause()):
            self._begun = self._clock()
            self._trying = asyncio.create_task(self._try(), name=f"probe {self._name}", context=Context())
        if self._trying is not None:
            await asyncio.wait((self._trying,), timeout=self._patience)
        if self._trying is not None or self._last is None:
            return Probed(None, self._clock() - self._begun)
        return self._last

    async def aclose(self) -> None:
        """Leave an attempt that goes on."""
        if self._trying is not None:
            self._trying.cancel()
            await asyncio.gather(self._trying, return_exceptions=True)

    async def _try(self) -> None:
        ok = False
        try:
            await self._attempt()
            ok = True
        except FAULTS as error:
            log.warning("a part does not answer", part=self._name, error=type(error).__name__)
        finally:
            self._last = Probed(ok, self._clock() - self._begun)
            self._trying = None


async def ping(database: Database) -> None:
    """
    Raises:
        SQLAlchemyError, OSError: it does not answer.
    """
    async with database.read() as session:
        await session.execute(text("SELECT 1"))
