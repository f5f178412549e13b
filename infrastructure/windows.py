"""What happened lately: counts, distributions and levels in slots of ten seconds, an hour of them.

Nothing is kept of a single event, so that an event costs one count and an hour of any traffic the same memory. Slots
are closed by whoever calls `Recent.roll`, with a clock of their own; one process, on its event loop's thread.
"""

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import sqrt

SLOT_SECONDS = 10.0
SLOTS = 360
A_DECADE = 20
BOUNDS = tuple(10 ** (step / A_DECADE) for step in range(-4 * A_DECADE, 3 * A_DECADE + 1))
"""Upper bounds in seconds, 0.1 ms to 1,000 s, each 12 % above the one before: a percentile is at most 6 % off."""
MIDDLES = (BOUNDS[0], *(sqrt(low * high) for low, high in pairwise(BOUNDS)), BOUNDS[-1])
ZEROS = (0,) * len(MIDDLES)


@dataclass(frozen=True, slots=True)
class Distribution:
    """How many values fell into each bucket, and their sum. `buckets` are those that have any, ascending."""

    buckets: bytes = b""
    counts: Sequence[int] = ()
    total: float = 0.0

    @classmethod
    def of(cls, counts: Sequence[int], total: float) -> "Distribution":
        """From a count for each bucket that there is."""
        filled = [bucket for bucket, count in enumerate(counts) if count]
        return cls(bytes(filled), array("Q", [counts[bucket] for bucket in filled]), total)

    @property
    def count(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        """None where there is no value, as for every figure of nothing."""
        return self.total / self.count if self.buckets else None

    def percentiles(self, shares: Sequence[float]) -> list[float | None]:
        """For each share, 0.95 say, the value at its rank: the geometric middle of the bucket that it is in."""
        if not self.buckets:
            return [None] * len(shares)
        ranks = list(accumulate(self.counts))
        return [MIDDLES[self.buckets[bisect_left(ranks, share * ranks[-1])]] for share in shares]


def merged(parts: Iterable[Distribution]) -> Distribution:
    counts, total = list(ZEROS), 0.0
    for part in parts:
        total += part.total
        for bucket, count in zip(part.buckets, part.counts, strict=True):
            counts[bucket] += count
    return Distribution.of(counts, total)


class Observed:
    """The values of the slot that is open."""

    __slots__ = ("_counts", "_sum")

    def __init__(self) -> None:
        self._counts = list(ZEROS)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(BOUNDS, value)] += 1
        self._sum += value

    def now(self) -> Distribution:
        return Distribution.of(self._counts, self._sum)

    def clear(self) -> None:
        self._counts[:] = ZEROS
        self._sum = 0.0


@dataclass(frozen=True, slots=True)
class Slot:
    """What was in ten seconds. `ends_at` is in the clock's seconds; `levels` are as they stood at the end."""

    index: int
    counts: Mapping[str, float]
    seen: Mapping[str, Distribution]
    levels: Mapping[str, float]

    @property
    def ends_at(self) -> float:
        return (self.index + 1) * SLOT_SECONDS


@dataclass(frozen=True, slots=True)
class Window:
    """What was in the last `seconds` (fewer where there were not so many yet, up to a slot more else)."""

    seconds: float
    counts: Mapping[str, float]
    seen: Mapping[str, Distribution]

    def count(self, name: str) -> float:
        return self.counts.get(name, 0)

    def a_minute(self, name: str) -> float:
        return self.count(name) * 60 / max(self.seconds, SLOT_SECONDS)  # a second's worth is no rate


class Recent:
    """The ring of slots. `names` are the distributions that are observed, each by its `Observed`."""

    def __init__(self, names: Sequence[str], now: float) -> None:
        self.observed = {name: Observed() for name in names}
        self._started = now
        self._index = _index(now)
        self._counts: dict[str, float] = {}
        self._followed: dict[str, Callable[[], float]] = {}
        self._last: dict[str, float] = {}
        self._watched: dict[str, Callable[[], float]] = {}
        self._slots: deque[Slot] = deque(maxlen=SLOTS)

    def count(self, name: str, number: float = 1) -> None:
        """`name` is one of few: it is kept for each slot."""
        self._counts[name] = self._counts.get(name, 0) + number

    def follow(self, name: str, total: Callable[[], float]) -> None:
        """Count by how much `total` grows; it is asked when somebody looks, and not with each event."""
        self._followed[name] = total
        self._last[name] = total()

    def watch(self, name: str, level: Callable[[], float]) -> None:
        """Note `level` at the end of each slot."""
        self._watched[name] = level

    def roll(self, now: float) -> None:
        """Close the slot that is open, if its time is over."""
        if _index(now) <= self._index:
            return
        levels = {name: level() for name, level in self._watched.items()}
        self._slots.append(Slot(self._index, self._open_counts(), self._open_seen(), levels))
        self._index = _index(now)
        self._counts.clear()
        for observed in self.observed.values():
            observed.clear()
        for name, total in self._followed.items():
            self._last[name] = total()

    def window(self, seconds: float, now: float) -> Window:
        """The open slot and the closed ones that reach into the last `seconds`."""
        self.roll(now)
        inside = [slot for slot in self._slots if slot.ends_at > now - seconds]
        counts = self._open_counts()
        for slot in inside:
            for name, number in slot.counts.items():
                counts[name] = counts.get(name, 0) + number
        begun = min(inside[0].index if inside else self._index, _index(now - seconds)) * SLOT_SECONDS
        seen = {
            name: merged([present, *(slot.seen[name] for slot in inside if name in slot.seen)])
            for name, present in self._open_seen(empty=True).items()
        }
        return Window(max(1.0, now - max(begun, self._started)), counts, seen)

    def slots(self, seconds: float, now: float) -> list[Slot]:
        """The closed slots of the last `seconds`, the oldest first."""
        self.roll(now)
        return [slot for slot in self._slots if slot.ends_at > now - seconds]

    def _open_counts(self) -> dict[str, float]:
        grown = {name: total() - self._last[name] for name, total in self._followed.items()}
        return {name: number for name, number in {**self._counts, **grown}.items() if number}

    def _open_seen(self, *, empty: bool = False) -> dict[str, Distribution]:
        seen = {name: observed.now() for name, observed in self.observed.items()}
        return {name: one for name, one in seen.items() if empty or one.buckets}


def until_next_slot(now: float) -> float:
    """Seconds until `now`'s slot is over for sure: a timer that is a little early would find it open, and come again
    only when the next one is over too.
    """
    return SLOT_SECONDS - now % SLOT_SECONDS + 0.01


def _index(now: float) -> int:
    return int(now // SLOT_SECONDS)
