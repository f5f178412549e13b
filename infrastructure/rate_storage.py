"""A memory for rate limits that a stranger cannot fill, for the `limits` library that slowapi counts with.

The library's own `memory://` starts a thread for its clean-up every 10 ms under load and walks over all callers there,
and grows with the number of callers. This one keeps two counters a caller for the latest `MAX_CALLERS` callers.
"""

import time
from collections import OrderedDict
from math import ceil

from limits.storage.base import SlidingWindowCounterSupport, Storage

SCHEME = "bounded-memory"
MAX_CALLERS = 50_000  # about 15 MB; beyond it the caller that was away longest is forgotten


class _Windows:
    """Hits of a caller in the window numbered `index`, and in the one before."""

    __slots__ = ("current", "index", "previous")

    def __init__(self, index: int) -> None:
        self.index = index
        self.current = 0
        self.previous = 0

    def move_to(self, index: int) -> None:
        if index != self.index:
            self.previous = self.current if index == self.index + 1 else 0
            self.current = 0
            self.index = index


class BoundedMemoryStorage(Storage, SlidingWindowCounterSupport):
    """Sliding window counters: the window's hits and, of the one before, the share that the window still overlaps.

    Windows begin at multiples of their length. To be used from one thread.
    """

    STORAGE_SCHEME = [SCHEME]  # noqa: RUF012  the library's own name and type for it

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: str) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions, **options)
        self._callers: OrderedDict[str, _Windows] = OrderedDict()

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        return ValueError

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        now = time.time()
        windows = self._windows(key, int(now // expiry))
        overlap = 1 - (now % expiry) / expiry
        if windows.previous * overlap + windows.current + amount > limit:
            return False
        windows.current += amount
        return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Hits of the previous window and seconds that they count on, then the same of the current one."""
        now = time.time()
        windows = self._windows(key, int(now // expiry))
        left = expiry - now % expiry
        return windows.previous, left, windows.current, left + expiry

    def raise_to(self, key: str, expiry: int, used: float) -> None:
        """Count as if at least `used` hits weighed on the window now, as somebody knows who counts elsewhere too."""
        now = time.time()
        windows = self._windows(key, int(now // expiry))
        overlap = 1 - (now % expiry) / expiry
        windows.current = max(windows.current, ceil(used - windows.previous * overlap))

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        self._callers.pop(key, None)

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        count = len(self._callers)
        self._callers.clear()
        return count

    def clear(self, key: str) -> None:
        self._callers.pop(key, None)

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        windows = self._windows(key, int(time.time() // expiry))
        windows.current += amount
        return windows.current

    def get(self, key: str) -> int:
        windows = self._callers.get(key)
        return windows.current if windows else 0

    def get_expiry(self, key: str) -> float:
        return time.time()

    def _windows(self, key: str, index: int) -> _Windows:
        windows = self._callers.get(key)
        if windows is None:
            windows = self._callers[key] = _Windows(index)
            if len(self._callers) > MAX_CALLERS:
                self._callers.popitem(last=False)
        else:
            windows.move_to(index)
            self._callers.move_to_end(key)
        return windows
