"""How often a login may fail before nobody looks at the password any more.

Counted in this process, by the address that calls and by the user name that is tried; a name is counted whether or not
there is such a user. Logins that succeed do not count.
"""

import time
from hashlib import sha256

from limits import RateLimitItemPerSecond
from limits.strategies import SlidingWindowCounterRateLimiter

from infrastructure.errors import RateLimited
from infrastructure.rate_storage import BoundedMemoryStorage

FAILURES_PER_ADDRESS = 20
FAILURES_PER_NAME = 30  # more than for an address: one stranger alone cannot keep a user out
WINDOW_SECONDS = 300


class _Failures:
    """One counter for each key. Each kind has its storage: made-up names do not push out addresses."""

    def __init__(self, most: int, window_seconds: int) -> None:
        self._item = RateLimitItemPerSecond(most, window_seconds)
        self._limiter = SlidingWindowCounterRateLimiter(BoundedMemoryStorage())

    def require(self, key: str) -> None:
        if not self._limiter.test(self._item, key):
            reset = self._limiter.get_window_stats(self._item, key).reset_time
            raise RateLimited("Too many failed logins.", retry_after=max(1.0, reset - time.time()))

    def add(self, key: str) -> None:
        self._limiter.hit(self._item, key)


class LoginLimit:
    """Failed logins of the last five minutes, by address and by user name."""

    def __init__(
        self,
        per_address: int = FAILURES_PER_ADDRESS,
        per_name: int = FAILURES_PER_NAME,
        window_seconds: int = WINDOW_SECONDS,
    ) -> None:
        self._addresses = _Failures(per_address, window_seconds)
        self._names = _Failures(per_name, window_seconds)

    def require(self, address: str, name: str) -> None:
        """
        Raises:
            RateLimited: there were too many failures; `retry_after` in seconds.
        """
        self._addresses.require(address)
        self._names.require(_short(name))

    def failed(self, address: str, name: str) -> None:
        """Count one failed login."""
        self._addresses.add(address)
        self._names.add(_short(name))


def _short(name: str) -> str:
    """Names as long as a body may be are not kept."""
    return sha256(name.encode()).hexdigest()
