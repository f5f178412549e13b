"""All streams that this process follows, read by one task over one connection.

Each stream is read from a cursor of its own, so nothing is lost or heard twice between two reads, nor when the
connection breaks. A blocked read knows only the streams that it was begun with: a stream of this process's own, `wake`,
is written to when others are to be followed. (Unlike CLIENT UNBLOCK that cannot come too early.)
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import structlog
from redis.asyncio import Redis

from infrastructure.redis.line import Line
from infrastructure.redis.link import FAULTS, RedisAway, RedisLink

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
BLOCK_SECONDS = 5.0
GRACE_SECONDS = 2.0  # how much later than that an answer may come
RETRY_SECONDS = 0.2
READ_AT_ONCE = 256  # entries of each stream
WAKE_KEY_SECONDS = 60
BEGINNING = b"0-0"

Item = tuple[bytes, Sequence[bytes]]
"""An entry: its id, and its fields' names and values in turns."""

Take = Callable[[Sequence[Item]], None]
"""Takes what is new in a stream, in order. It must not wait."""


@dataclass(slots=True)
class _Followed:
    take: Take
    cursor: bytes | None  # None: from whatever is newest when it is first looked at


class Streams:
    """Follows streams. All calls are made on the event loop's thread."""

    def __init__(self, link: RedisLink, *, block_seconds: float = BLOCK_SECONDS) -> None:
        self._link = link
        self._line = Line(link)
        self._block = block_seconds
        self._wake_key = f"{link.prefix}wake:{uuid4().hex}"
        self._followed: dict[bytes, _Followed] = {}
        self._limit: asyncio.Timeout | None = None  # of the read that is under way
        self._there = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._waking: asyncio.Task[None] | None = None
        self.follow(self._wake_key, lambda _: None, BEGINNING)
        link.listen(self._on_link)

    def follow(self, key: str, take: Take, after: bytes | None = None) -> None:
        """Have `take` called with what comes in a stream behind the id `after`; with None: behind what is there."""
        self._followed[key.encode()] = _Followed(take, after)
        if self._limit is not None:
            self._wake()

    def leave(self, key: str) -> None:
        """Follow a stream no more."""
        self._followed.pop(key.encode(), None)

    async def open(self) -> None:
        """Begin to read. Redis need not be there."""
        if self._link.available:
            self._there.set()
            try:
                await self._link.ask(lambda client: self._find_ends(client.execute_command))
            except RedisAway:
                log.warning("streams are read when redis is there")
        self._reading = asyncio.create_task(self._read_on(), name="redis streams")

    async def aclose(self) -> None:
        tasks = [task for task in (self._reading, self._waking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._line.aclose()

    def _on_link(self, available: bool) -> None:
        if available:
            return self._there.set()
        self._there.clear()
        if self._limit is not None and not self._limit.expired():  # its connection may never answer
            self._limit.reschedule(asyncio.get_running_loop().time())

    def _wake(self) -> None:
        if self._waking is None or self._waking.done():
            self._waking = asyncio.create_task(self._send_wake(), name="wake the reader of streams")

    async def _send_wake(self) -> None:
        async def send(client: Redis) -> None:
            pipe = client.pipeline(transaction=False)
            pipe.xadd(self._wake_key, {b"w": b""}, maxlen=1, approximate=False)
            pipe.expire(self._wake_key, WAKE_KEY_SECONDS)
            await pipe.execute()

        try:
            await self._link.ask(send)
        except RedisAway:
            log.debug("the reader of streams was not woken")  # it begins anew when redis is there again

    async def _read_on(self) -> None:
        while True:
            try:
                await self._there.wait()
                await self._find_ends(self._line.call)
                while True:
                    await self._read()
            except FAULTS as error:
                if self._there.is_set():
                    log.warning("the connection that reads streams broke", error=type(error).__name__)
                    await asyncio.sleep(RETRY_SECONDS)

    async def _read(self) -> None:
        """Wait for something new in any stream, and hand it out."""
        block = int(self._block * 1000)
        keys = list(self._followed)
        cursors = [self._followed[key].cursor or BEGINNING for key in keys]
        try:
            async with asyncio.timeout(self._block + GRACE_SECONDS) as self._limit:
                reply = await self._line.call(
                    "XREAD", "COUNT", READ_AT_ONCE, "BLOCK", block, "STREAMS", *keys, *cursors
                )
        finally:
            self._limit = None
        for key, items in _pairs(reply):
            self._hand_out(key, items)
        if any(followed.cursor is None for followed in self._followed.values()):
            await self._find_ends(self._line.call)

    def _hand_out(self, key: bytes, items: Sequence[Item]) -> None:
        followed = self._followed.get(key)
        if followed is None:
            return
        followed.cursor = items[-1][0]
        try:
            followed.take(items)
        except Exception as error:  # the edge of this task: one reader's fault is not the others'
            log.exception("what came in a stream could not be taken", error=type(error).__name__)

    async def _find_ends(self, call: Callable[..., Any]) -> None:
        """Look where streams end that are to be followed from there.

        Raises:
            RedisError, OSError, TimeoutError: Redis does not answer.
        """
        for key, followed in tuple(self._followed.items()):
            if followed.cursor is None:
                async with asyncio.timeout(GRACE_SECONDS):
                    newest = await call("XREVRANGE", key, "+", "-", "COUNT", 1)
                followed.cursor = newest[0][0] if newest else BEGINNING


def _pairs(reply: Any) -> list[tuple[bytes, Sequence[Item]]]:
    """Streams and their new entries, from the answer in RESP2 or RESP3; no answer is none."""
    return list(reply.items() if isinstance(reply, dict) else reply or ())
