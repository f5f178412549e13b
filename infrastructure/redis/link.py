"""The way to Redis, with a judgement of whether it is there.

Redis is a help to this service, never a need: what it does for many workers together, each can do for itself. So no
caller waits for it for long. The first command that fails or takes longer than `timeout` marks it as away; from then on
commands fail at once, until a probe that writes and reads has worked again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
T = TypeVar("T")

PREFIX = "askgraph:"
TIMEOUT_SECONDS = 0.5
PROBE_SECONDS = 1.0
CONNECT_SECONDS = 2.0
PROBE_KEY_SECONDS = 10
AT_ONCE = 16  # commands on their way: it does one at a time
MAX_CONNECTIONS = AT_ONCE + 16  # those who count requests, and the probe, take some of their own
HELD_UP_SECONDS = 0.05  # a time limit that is noticed so late says that this process was held up, and not Redis
FAULTS = (RedisError, OSError, TimeoutError)
"""What a command fails with, be it that Redis is gone, slow, full, loading or read-only."""

Listener = Callable[[bool], None]


class RedisAway(Exception):
    """Redis does not do what it is asked to, or not in time. What was asked for may have been done."""


class RedisLink:
    """One pool of connections. `client` gives bytes; use it through `ask`, which bounds the wait.

    `prefix` stands before every key, so that several services may share one Redis.
    """

    def __init__(
        self, url: str, *, prefix: str = PREFIX, timeout: float = TIMEOUT_SECONDS, probe_seconds: float = PROBE_SECONDS
    ) -> None:
        self.prefix = prefix
        self.client: Redis = self.connect(url)
        self._url = url
        self._timeout = timeout
        self._probe_seconds = probe_seconds
        self._available = False
        self._away = asyncio.Event()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._listeners: list[Listener] = []
        self._watching: asyncio.Task[None] | None = None

    @staticmethod
    def connect(url: str, *, connections: int = MAX_CONNECTIONS) -> Redis:
        """A client of its own, without a time limit on answers: for commands that wait on purpose."""
        return Redis.from_url(
            url,
            decode_responses=False,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=None,
            max_connections=connections,
            retry=Retry(NoBackoff(), 0),
            client_name="askgraph",
        )

    def dedicated(self) -> Redis:
        """A client with one connection of its own, for commands that block. Whoever asks for it closes it."""
        return self.connect(self._url, connections=2)

    @property
    def available(self) -> bool:
        """Whether Redis did its work when it was last asked."""
        return self._available

    def listen(self, listener: Listener) -> None:
        """Have `listener` called with True when Redis is there (again), with False when it is away."""
        self._listeners.append(listener)

    async def open(self) -> None:
        """Look once whether it is there, and watch from now on. It need not be there."""
        await self._probe()
        self._watching = asyncio.create_task(self._watch(), name="redis link")

    async def ask(self, command: Callable[[Redis], Awaitable[T]]) -> T:
        """What Redis answers to `command`, within the time limit.

        Raises:
            RedisAway: it does not answer, or not in time, or says that it cannot (full, loading, read-only).
        """
        async with self._slots:  # a line in here is no fault of Redis's
            if not self._available:
                raise RedisAway
            due = asyncio.get_running_loop().time() + self._timeout
            try:
                async with asyncio.timeout_at(due):
                    return await command(self.client)
            except NoScriptError:  # it is there, and has forgotten a script: that is for the caller
                raise
            except FAULTS as error:
                if not (isinstance(error, TimeoutError) and asyncio.get_running_loop().time() > due + HELD_UP_SECONDS):
                    self.lost(error)
                raise RedisAway from error

    def lost(self, error: Exception) -> None:
        """Say that it is away: `error` is what somebody met who talked to it over a connection of their own."""
        if not self._available:
            return
        log.warning("redis is away", error=type(error).__name__)
        self._available = False
        self._away.set()
        self._tell(False)

    async def aclose(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        self._available = False
        await self.client.aclose()

    def _tell(self, available: bool) -> None:
        for listener in self._listeners:
            listener(available)

    async def _watch(self) -> None:
        while True:
            if self._available:
                await self._away.wait()
            await asyncio.sleep(self._probe_seconds)
            await self._probe()

    async def _probe(self) -> None:
        """Write and read: one that is full or read-only answers a PING as well."""
        try:
            async with asyncio.timeout(self._timeout):
                await self.client.set(f"{self.prefix}probe", b"1", ex=PROBE_KEY_SECONDS)
        except FAULTS as error:
            if not self._away.is_set():
                log.warning("redis is away", error=type(error).__name__)
                self._away.set()
            return
        if self._away.is_set():
            log.info("redis is there again")
        self._away.clear()
        self._available = True
        self._tell(True)
