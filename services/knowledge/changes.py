"""How often what a search sees has changed, partition by partition."""

from collections.abc import Iterable
from zlib import crc32

_COUNTERS = 1024  # of partitions: two may share one, and then a change of one passes for a change of the other too


class ChangeCounts:
    """Counts changes. One that takes time is counted when it begins and when it is done: what was found in between is
    of neither count.
    """

    def __init__(self) -> None:
        self.total = 0
        self._everywhere = 0
        self._of = [0] * _COUNTERS

    def note(self, partition: str) -> None:
        """Something of a partition has changed, or is about to."""
        self.total += 1
        self._of[_counter(partition)] += 1

    def note_all(self) -> None:
        """Everything is searched in another way."""
        self.total += 1
        self._everywhere += 1

    def of(self, partitions: Iterable[str]) -> tuple[int, ...]:
        """What is another one after each change of these partitions."""
        return (self._everywhere, *[self._of[_counter(partition)] for partition in partitions])


def _counter(partition: str) -> int:
    return crc32(partition.encode()) % _COUNTERS
