"""How often somebody did something lately: counted by all workers together, or by this process alone where they have
nothing in common or it does not answer.
"""

import time
from dataclasses import dataclass
from math import floor, inf
from typing import NamedTuple, Protocol

from limits import RateLimitItem
from limits.strategies import RateLimiter

from infrastructure.rate_storage import BoundedMemoryStorage


class Window(NamedTuple):
    """Hits of the window before and for how many seconds some of them still count; hits of the current one, and the
    seconds until they are over when they were those of the window before for a whole window.
    """

    previous: int
    previous_left: float
    current: int
    current_left: float

    def used(self, seconds: int) -> float:
        """The hits that weigh now, in windows of so many seconds."""
        return self.previous * self.previous_left / seconds + self.current


class SharedWindows(Protocol):
    """Windows that all workers count in. Both give None when these do not answer: count yourself then."""

    async def hit(self, item: RateLimitItem, key: str) -> tuple[bool, Window] | None:
        """Count one hit if there is room, and how the window is afterwards."""

    async def look(self, item: RateLimitItem, key: str) -> Window | None: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """`remaining` hits are left; `reset` is in Unix seconds: from then on there is more, or all again."""

    allowed: bool
    remaining: int
    reset: float


class RateCounter:
    """One counter for each key, of the hits that `item` allows in its window.

    What the shared windows say is noted in this process's own, so that whoever had used up the limit has not a new one
    when they are away. While they are away each worker counts what it sees, from there on. When they are back they know
    nothing of the hits in between.
    """

    def __init__(self, item: RateLimitItem, limiter: RateLimiter, shared: SharedWindows | None = None) -> None:
        assert isinstance(limiter.storage, BoundedMemoryStorage)  # noqa: S101  whoever makes it says so one line above
        self.item = item
        self._limiter = limiter
        self._storage = limiter.storage
        self._seconds = item.get_expiry()
        self._shared = shared

    def share(self, shared: SharedWindows | None) -> None:
        """Count with all other workers from now on; with None alone."""
        self._shared = shared

    async def hit(self, key: str) -> Standing:
        """Count one hit; a refused one is not counted."""
        if self._shared is not None and (answer := await self._shared.hit(self.item, key)) is not None:
            allowed, window = answer
            return self._noted(key, allowed, window)
        return self._own(key, self._limiter.hit(self.item, key))

    async def look(self, key: str) -> Standing:
        """How it stands, without counting."""
        if self._shared is not None and (window := await self._shared.look(self.item, key)) is not None:
            return self._noted(key, window.used(self._seconds) < self.item.amount, window)
        return self._own(key, self._limiter.test(self.item, key))

    def _own(self, key: str, allowed: bool) -> Standing:
        reset, remaining = self._limiter.get_window_stats(self.item, key)
        return Standing(allowed, max(0, int(remaining)), reset)

    def _noted(self, key: str, allowed: bool, window: Window) -> Standing:
        used = window.used(self._seconds)
        if used:
            self._storage.raise_to(self.item.key_for(key), self._seconds, used)
        left = self.item.amount - floor(used) if allowed else 0  # told a moment later, when there may be one
        return Standing(allowed, max(0, left), time.time() + self._more_in(window))

    def _more_in(self, window: Window) -> float:
        """Seconds until a hit of the window before no longer counts, or those of the current one begin to be less: as
        `get_window_stats` has it, which would ask once more, but for the moment in which a window begins.
        """
        if not (window.previous or window.current):
            return 0.0
        of_previous = window.previous_left % (self._seconds / window.previous) if window.previous else inf
        of_current = max(0.0, window.current_left - self._seconds) if window.current else inf
        return min(of_previous, of_current)
