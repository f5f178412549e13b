"""Windows of rate limits that all workers count in: those of the `limits` library, over the link that all else uses.

A hit is one round trip: the library's two scripts, the one that counts and the one that tells, leave together.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from limits import RateLimitItem
from limits.aio.storage import RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from redis.commands.core import AsyncScript
from redis.exceptions import NoScriptError

from infrastructure.rate_counter import Window
from infrastructure.redis.link import FAULTS, RedisLink

WAIT_SECONDS = 0.3  # longer than this no request waits to be counted
LATE_SECONDS = 0.05  # a deadline that is noticed so late says more of this process than of Redis
AT_ONCE = 4  # connections of the link's pool that are counted over; who finds none free waits for one

_Call = tuple[AsyncScript, tuple[Any, ...]]


class RateWindows:
    """Fits `SharedWindows`. Nothing is asked of a link that is away; an answer that is late makes it so."""

    def __init__(self, link: RedisLink, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._link = link
        self._wait_seconds = wait_seconds
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._storage = RedisStorage(
            "async+redis://",  # where it is, the pool knows
            implementation="redispy",
            key_prefix=f"{link.prefix}limit",
            connection_pool=cast(Any, link.client.connection_pool),  # an option that the library documents, not typed
        )
        self._bridge = cast(RedispyBridge, self._storage.bridge)
        self._scripts = (
            cast(AsyncScript, self._bridge.lua_acquire_sliding_window),
            cast(AsyncScript, self._bridge.lua_sliding_window),
        )

    async def hit(self, item: RateLimitItem, key: str) -> tuple[bool, Window] | None:
        acquire, window = self._scripts
        keys, seconds = self._keys(item, key), item.get_expiry()
        answers = await self._ask((acquire, (*keys, item.amount, seconds, 1)), (window, (*keys, seconds)))
        return None if answers is None else (bool(answers[0]), _window(answers[1]))

    async def look(self, item: RateLimitItem, key: str) -> Window | None:
        answers = await self._ask((self._scripts[1], (*self._keys(item, key), item.get_expiry())))
        return None if answers is None else _window(answers[0])

    def _keys(self, item: RateLimitItem, key: str) -> tuple[str, str]:
        name = item.key_for(key)
        previous, current = self._storage._previous_window_key(name), self._storage._current_window_key(name)
        return self._bridge.prefixed_key(previous), self._bridge.prefixed_key(current)

    async def _ask(self, *calls: _Call) -> list[Any] | None:
        async with self._slots:
            if not self._link.available:
                return None
            deadline = asyncio.timeout(self._wait_seconds)
            try:
                async with deadline:
                    return await self._run(calls)
            except FAULTS as error:
                if not (deadline.expired() and _held_up(deadline)):
                    self._link.lost(error)
                return None

    async def _run(self, calls: Sequence[_Call]) -> list[Any]:
        try:
            return await self._send(calls)
        except NoScriptError:  # a server that was started or flushed since: none of the calls was carried out
            for script in self._scripts:
                await self._link.client.script_load(script.script)
            return await self._send(calls)

    async def _send(self, calls: Sequence[_Call]) -> list[Any]:
        # Not through the script objects: in a pipeline these ask first whether they are known, a round trip more.
        async with self._link.client.pipeline(transaction=False) as pipeline:
            for script, arguments in calls:
                pipeline.evalsha(script.sha, 2, *arguments)
            return await pipeline.execute()


def _held_up(deadline: asyncio.Timeout) -> bool:
    """Whether this process was busy when the time was over: then the answer may be there, unread."""
    when = deadline.when()
    return when is not None and asyncio.get_running_loop().time() - when > LATE_SECONDS


def _window(answer: Sequence[bytes | int | None]) -> Window:
    """Counts, and times to live in milliseconds, negative where there is no such key."""
    previous, previous_ttl, current, current_ttl = (int(value or 0) for value in answer)
    return Window(previous, max(0, previous_ttl) / 1000, current, max(0, current_ttl) / 1000)
