"""How often a login may fail before nobody looks at the password any more.

Counted by the address that calls and by the user name that is tried; a name is counted whether or not there is such a
user. Logins that succeed do not count. Workers that have Redis count together; without it, or while it is away, each
counts what it sees.
"""

import time
from hashlib import sha256

from limits import RateLimitItemPerSecond
from limits.strategies import SlidingWindowCounterRateLimiter

from infrastructure.errors import RateLimited
from infrastructure.rate_counter import RateCounter, SharedWindows
from infrastructure.rate_storage import BoundedMemoryStorage

FAILURES_PER_ADDRESS = 20
FAILURES_PER_NAME = 30  # more than for an address: one stranger alone cannot keep a user out
WINDOW_SECONDS = 300


class _Failures:
    """One counter for each key. Each kind has its storage: made-up names do not push out addresses."""

    def __init__(self, kind: str, most: int, window_seconds: int, shared: SharedWindows | None) -> None:
        item = RateLimitItemPerSecond(most, window_seconds, namespace=f"login-{kind}")
        self._counter = RateCounter(item, SlidingWindowCounterRateLimiter(BoundedMemoryStorage()), shared)

    async def require(self, key: str) -> None:
        standing = await self._counter.look(key)
        if not standing.allowed:
            raise RateLimited("Too many failed logins.", retry_after=max(1.0, standing.reset - time.time()))

    async def add(self, key: str) -> None:
        await self._counter.hit(key)


class LoginLimit:
    """Failed logins of the last five minutes, by address and by user name; `shared` is what all workers count in."""

    def __init__(
        self,
        per_address: int = FAILURES_PER_ADDRESS,
        per_name: int = FAILURES_PER_NAME,
        window_seconds: int = WINDOW_SECONDS,
        shared: SharedWindows | None = None,
    ) -> None:
        self._addresses = _Failures("address", per_address, window_seconds, shared)
        self._names = _Failures("name", per_name, window_seconds, shared)

    async def require(self, address: str, name: str) -> None:
        """
        Raises:
            RateLimited: there were too many failures; `retry_after` in seconds.
        """
        await self._addresses.require(address)
        await self._names.require(_short(name))

    async def failed(self, address: str, name: str) -> None:
        """Count one failed login."""
        await self._addresses.add(address)
        await self._names.add(_short(name))


def _short(name: str) -> str:
    """Names as long as a body may be are not kept."""
    return sha256(name.encode()).hexdigest()
