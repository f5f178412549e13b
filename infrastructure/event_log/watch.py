"""Looks after runs from which nothing is heard: whether Redis still has them as they are known here.

A writer with nothing to say would not learn that its run was taken over, nor that Redis was emptied; a reader not that
the run goes on in a stream that begins elsewhere.
"""

import asyncio
from contextlib import suppress

import structlog

from infrastructure.event_log.mirrors import Mirrors
from infrastructure.event_log.scripts import CHECK
from infrastructure.event_log.sender import Sender
from infrastructure.event_log.stored import keys
from infrastructure.redis.link import RedisAway, RedisLink

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
CHECK_SECONDS = 5.0


class Watch:
    """One task, which looks every `CHECK_SECONDS`, when a mirror is in doubt, and when Redis is there again."""

    def __init__(self, link: RedisLink, sender: Sender, mirrors: Mirrors) -> None:
        self._link = link
        self._sender = sender
        self._mirrors = mirrors
        self._watching: asyncio.Task[None] | None = None
        link.listen(lambda available: mirrors.doubt_all() if available else None)

    def start(self) -> None:
        self._watching = asyncio.create_task(self._watch(), name="event log watch")

    async def aclose(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._mirrors.in_doubt.wait()
            self._mirrors.in_doubt.clear()
            try:
                self._mirrors.drop_unread()
                if self._link.available:
                    await self.look()
            except RedisAway:
                continue
            except Exception as error:  # the edge of the task: the next look is to come
                log.exception("runs could not be looked after", error=type(error).__name__)

    async def look(self) -> None:
        """Look at all runs that are silent, and fetch what is in doubt.

        Raises:
            RedisAway: not all were looked at.
        """
        written, read = self._sender.silent(CHECK_SECONDS), self._mirrors.silent(CHECK_SECONDS)
        if runs := [*written, *read]:
            names = [keys(self._link.prefix, run_id)[0] for run_id in runs]
            replies = await self._link.ask(lambda client: CHECK(client.execute_command, names))
            states = [(None, 0) if fence is None else (int(fence), int(seq)) for fence, seq in replies]
            for run_id, (fence, seq) in zip(written, states, strict=False):
                self._sender.seen(run_id, fence, seq)
            for run_id, (fence, seq) in zip(read, states[len(written) :], strict=True):
                self._mirrors.seen(run_id, fence, seq)
        await self._mirrors.fetch_doubtful()
