"""A run's place in its session: one is answered at a time, in the order of asking."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from agents.keeping import Keeper
from agents.ports import EventLog
from agents.run import Run
from infrastructure.errors import NotFound, StorageUnavailable

LOOK_AGAIN_SECONDS = 1.0


class Places:
    """Where there is one process the session itself holds the line. Where there are more (`shared`) the store does:
    what was under way in the chat when a question was kept is before it, wherever that runs, and has ended when its
    last frame is in the log, or the store says so.
    """

    def __init__(self, log: EventLog, keeper: Keeper, *, shared: bool) -> None:
        self._log = log
        self._keeper = keeper
        self._shared = shared

    def turn(self, run: Run) -> AbstractAsyncContextManager[None]:
        """Hold the session's one place."""
        return self._turn_of_all(run) if self._shared else run.session.turn()

    @asynccontextmanager
    async def _turn_of_all(self, run: Run) -> AsyncIterator[None]:
        for earlier in run.begun.ahead if run.begun else ():
            await self._ended(earlier)
        yield

    async def _ended(self, run_id: str) -> None:
        while not await self._is_kept(run_id):
            try:
                await self._log.find(run_id)
                async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                    await self._log.terminal(run_id)
                    return
            except TimeoutError:
                continue
            except (NotFound, StorageUnavailable):
                await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def _is_kept(self, run_id: str) -> bool:
        try:
            return await self._keeper.ended(run_id)
        except StorageUnavailable:
            return False
