"""The memory that rate limits are counted in."""

import pytest
from limits import RateLimitItemPerSecond
from limits.storage import storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from infrastructure import rate_storage
from infrastructure.rate_storage import SCHEME, BoundedMemoryStorage

LIMIT = RateLimitItemPerSecond(4, 60)


class Clock:
    def __init__(self) -> None:
        self.now = 6_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rate_storage, "time", clock)
    return clock


def test_the_library_finds_it_by_its_scheme() -> None:
    assert isinstance(storage_from_string(f"{SCHEME}://"), BoundedMemoryStorage)


def test_so_many_hits_are_taken_in_a_window(clock: Clock) -> None:
    limiter = SlidingWindowCounterRateLimiter(BoundedMemoryStorage())
    assert [limiter.hit(LIMIT, "a") for _ in range(6)] == [True] * 4 + [False] * 2
    assert limiter.hit(LIMIT, "b")
    assert limiter.get_window_stats(LIMIT, "b").remaining == 3


def test_the_window_before_counts_by_the_share_that_still_overlaps(clock: Clock) -> None:
    limiter = SlidingWindowCounterRateLimiter(BoundedMemoryStorage())
    assert all(limiter.hit(LIMIT, "a") for _ in range(4))
    clock.now += 60  # all of the last window overlaps
    assert not limiter.hit(LIMIT, "a")
    clock.now += 30  # half of it
    assert [limiter.hit(LIMIT, "a") for _ in range(3)] == [True, True, False]
    clock.now += 120  # that is long ago
    assert [limiter.hit(LIMIT, "a") for _ in range(5)] == [True] * 4 + [False]


def test_a_refused_hit_does_not_count(clock: Clock) -> None:
    storage = BoundedMemoryStorage()
    assert storage.acquire_sliding_window_entry("a", 2, 60, amount=2)
    assert not storage.acquire_sliding_window_entry("a", 2, 60)
    assert storage.get("a") == 2
    assert storage.get_sliding_window("a", 60) == (0, 60.0, 2, 120.0)


def test_callers_are_forgotten_and_never_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_storage, "MAX_CALLERS", 2)
    storage = BoundedMemoryStorage()
    for caller in "aba":
        storage.incr(caller, 60)
    storage.incr("c", 60)  # b was away longest
    assert [storage.get(caller) for caller in "abc"] == [2, 0, 1]
    storage.clear("a")
    storage.clear_sliding_window("nobody", 60)
    assert storage.get("a") == 0
    assert storage.reset() == 1
    assert storage.check()
    assert storage.get_expiry("a") > 0
    assert storage.base_exceptions is ValueError


def test_what_is_known_from_elsewhere_weighs_as_if_it_had_been_counted_here(clock: Clock) -> None:
    storage = BoundedMemoryStorage()
    limiter = SlidingWindowCounterRateLimiter(storage)
    key = LIMIT.key_for("a")
    limiter.hit(LIMIT, "a")
    storage.raise_to(key, 60, 3)
    assert limiter.get_window_stats(LIMIT, "a").remaining == 1
    storage.raise_to(key, 60, 2)
    assert limiter.get_window_stats(LIMIT, "a").remaining == 1, "it takes nothing back"
    clock.now += 90  # half of the three still count
    storage.raise_to(key, 60, 1.5)
    assert limiter.get_window_stats(LIMIT, "a").remaining == 3
    storage.raise_to(key, 60, 4)
    assert not limiter.hit(LIMIT, "a")
