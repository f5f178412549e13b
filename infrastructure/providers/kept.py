"""A value that is fetched when it is wanted, kept for a while, and fetched by one at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """`fetch`'s value, at most `seconds` old. What `fetch` raises is not kept."""

    def __init__(
        self, fetch: Callable[[], Awaitable[T]], seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._seconds = seconds
        self._clock = clock
        self._lock = asyncio.Lock()
        self._found: tuple[T, float] | None = None
        self._forgotten = 0

    async def get(self) -> T:
        found = self._fresh()
        if found is None:
            async with self._lock:
                found = self._fresh()  # somebody else may have fetched it while this one waited
                if found is None:
                    known = self._forgotten
                    found = (await self._fetch(), self._clock() + self._seconds)
                    if known == self._forgotten:  # else it is of before the change
                        self._found = found
        return found[0]

    def forget(self) -> None:
        """It has changed: fetch it anew when it is wanted."""
        self._found = None
        self._forgotten += 1

    def _fresh(self) -> tuple[T, float] | None:
        return self._found if self._found is not None and self._clock() < self._found[1] else None
