"""The dashboard's live frames: made once every two seconds for all who watch, and not at all where nobody does."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextvars import Context

import structlog

from infrastructure.errors import RateLimited

log = structlog.get_logger()
EVERY_SECONDS = 2.0
MOST_VIEWERS = 50

Make = Callable[[], Awaitable[bytes]]


class Board:
    """Whoever watches gets the newest frame when they are ready for one: nothing waits in line for a slow viewer."""

    def __init__(self, every: float = EVERY_SECONDS, most: int = MOST_VIEWERS) -> None:
        self._every = every
        self._most = most
        self._viewers = 0
        self._closed = False
        self._newest = b""
        self._number = 0
        self._turn = asyncio.Event()  # set when there is a newer frame, or none any more; then there is another
        self._work: asyncio.Task[None] | None = None
        self._ended: asyncio.Task[None] | None = None

    @property
    def viewers(self) -> int:
        return self._viewers

    async def frames(self, make: Make) -> AsyncGenerator[bytes, None]:
        """Frames as `make` makes them, or as it does for those who came before, until the board is closed.

        Raises:
            RateLimited: too many are watching.
        """
        if self._viewers >= self._most:
            raise RateLimited("Too many are watching the dashboard.", retry_after=30.0)
        self._viewers += 1
        try:
            if not self._newest:
                self._newest = await make()
            yield self._newest
            number = self._begin(make)
            while await self._newer_than(number):
                number = self._number
                yield self._newest
        finally:
            self._viewers -= 1
            if not self._viewers:
                self._end()

    def close(self) -> None:
        """Everybody's frames end."""
        self._closed = True
        self._end()
        self._tell()

    async def aclose(self) -> None:
        self.close()
        if self._ended is not None:
            await asyncio.gather(self._ended, return_exceptions=True)

    def _begin(self, make: Make) -> int:
        if self._work is None and not self._closed:
            self._work = asyncio.create_task(self._make_frames(make), name="dashboard", context=Context())
        return self._number

    def _end(self) -> None:
        self._newest = b""
        if self._work is not None:
            self._work.cancel()
            self._ended, self._work = self._work, None

    async def _newer_than(self, number: int) -> bool:
        """Wait for a newer frame; False when there will be none."""
        while not self._closed and self._number <= number:
            await self._turn.wait()
        return not self._closed

    async def _make_frames(self, make: Make) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                self._newest = await make()
            except Exception as error:
                log.exception("dashboard frame failed", error=type(error).__name__)
            else:
                self._number += 1
                self._tell()

    def _tell(self) -> None:
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()
