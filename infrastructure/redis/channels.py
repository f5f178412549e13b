"""Redis' channels as one worker hears them: over one connection, and only those that somebody wants to hear here."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

import structlog
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as Broken

from infrastructure.redis.link import FAULTS, RedisLink

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

JOIN_SECONDS = 0.5  # so long one who wants to hear waits for it to begin
SILENCE_SECONDS = 5.0  # after it the server is asked whether it is there, and has as long to answer
RETRY_SECONDS = 1.0
BREATHE_AFTER = 100  # messages: what came at once is heard without a pause else
MAX_COMMANDS = 10_000  # waiting for a server that takes none; far more than there are listeners coming and going


class _Channel:
    """`heard` is set as long as its messages come. `deaf`: somebody who wants them did not wait for that."""

    __slots__ = ("deaf", "heard", "wanted")

    def __init__(self) -> None:
        self.wanted = 0
        self.heard = asyncio.Event()
        self.deaf = False


class Channels:
    """Calls `on_message` with the name and the bytes of each message of `always` and of those that are attended.

    Where messages may have been missed, `on_missed` is called with the channel's name: when the connection breaks, and
    when it stands again for those who came in between. It is for them to find out what happened.
    """

    def __init__(
        self, link: RedisLink, always: str, on_message: Callable[[str, bytes], None], on_missed: Callable[[str], None],
        *, join_seconds: float = JOIN_SECONDS, silence_seconds: float = SILENCE_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:  # fmt: skip
        self._link = link
        self._always = always
        self._on_message = on_message
        self._on_missed = on_missed
        self._join_seconds = join_seconds
        self._silence_seconds = silence_seconds
        self._retry_seconds = retry_seconds
        self._channels: dict[str, _Channel] = {}
        self._commands: deque[tuple[str, str]] = deque()
        self._work = asyncio.Event()
        self._taken = False  # whether there is a connection that takes commands
        self._there = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._link.listen(self._heed)
        self._heed(self._link.available)
        self._task = asyncio.create_task(self._stay_connected(), name="redis channels")

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @asynccontextmanager
    async def attend(self, channel: str) -> AsyncIterator[bool]:
        """Want to hear a channel. Gives whether it is heard from here on; if not, `on_missed` is called once it is."""
        known = self._channels.get(channel)
        if known is None:
            known = self._channels[channel] = _Channel()
            self._command("subscribe", channel)
        known.wanted += 1
        try:
            yield await self._begun(known)
        finally:
            known.wanted -= 1
            self._let_be(channel, known)

    async def _begun(self, known: _Channel) -> bool:
        if not known.heard.is_set() and self._link.available:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._join_seconds):
                    await known.heard.wait()
        known.deaf = known.deaf or not known.heard.is_set()
        return known.heard.is_set()

    def _let_be(self, channel: str, known: _Channel) -> None:
        """Hear no more of a channel that nobody wants. One whose answer is still to come is let be with that: so an
        answer is always that to the latest command.
        """
        if not known.wanted and (known.heard.is_set() or not self._taken):
            del self._channels[channel]
            self._command("unsubscribe", channel)

    def _command(self, verb: str, channel: str) -> None:
        if self._taken:
            self._commands.append((verb, channel))
            self._work.set()

    def _heed(self, available: bool) -> None:
        (self._there.set if available else self._there.clear)()

    async def _stay_connected(self) -> None:
        while True:
            await self._there.wait()
            try:
                await self._be_connected()
            except FAULTS as error:
                log.warning("redis channels broke", error=type(error).__name__)
            except Exception:  # the edge of the task: the next connection may do better
                log.exception("redis channels failed")
            finally:
                self._broke()
            await asyncio.sleep(self._retry_seconds)

    async def _be_connected(self) -> None:
        """Ends with what ended it."""
        client = self._link.dedicated()
        hearing = client.pubsub()
        self._commands.clear()
        self._taken = True
        try:
            await self._begin(hearing)
            await _first_of(self._hear(hearing), self._say(hearing))
        finally:
            await hearing.aclose()  # type: ignore[no-untyped-call]  # the package has no type for it
            await client.aclose()

    async def _begin(self, hearing: PubSub) -> None:
        try:
            async with asyncio.timeout(self._silence_seconds):
                await hearing.subscribe(self._always, *self._channels)
        except FAULTS as error:
            self._link.lost(error)
            raise

    async def _hear(self, hearing: PubSub) -> None:
        asked = False
        for number in count():
            if number % BREATHE_AFTER == 0:
                await asyncio.sleep(0)
            message = await hearing.get_message(timeout=self._silence_seconds)
            if message is None:
                if asked:
                    raise Broken("silent")
                self._commands.append(("ping", ""))
                self._work.set()
            elif message["type"] == "message":
                self._on_message(message["channel"].decode(), message["data"])
            elif message["type"] == "subscribe":
                self._begins(message["channel"].decode())
            asked = message is None

    async def _say(self, hearing: PubSub) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            if len(self._commands) > MAX_COMMANDS:
                raise Broken("takes no commands")
            while self._commands:
                verb, channel = self._commands.popleft()
                if verb == "ping":
                    await hearing.ping()
                else:
                    await (hearing.subscribe if verb == "subscribe" else hearing.unsubscribe)(channel)

    def _begins(self, channel: str) -> None:
        """Redis says that a channel's messages come from now on."""
        if (known := self._channels.get(channel)) is None:
            return
        known.heard.set()
        if known.deaf:
            known.deaf = False
            self._on_missed(channel)
        self._let_be(channel, known)

    def _broke(self) -> None:
        self._taken = False
        for channel, known in list(self._channels.items()):
            if known.heard.is_set():
                known.heard.clear()
                self._on_missed(channel)
            self._let_be(channel, known)


async def _first_of(*work: Coroutine[Any, Any, None]) -> None:
    """What the first that ends ends with. The others are ended."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
