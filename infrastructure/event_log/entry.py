"""What an event log holds and gives: encoded frames with their numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class Entry(NamedTuple):
    """One frame of a run. `text` is what it adds to the answer: the texts of all entries from the last `restart` on,
    joined, are the answer.
    """

    seq: int
    data: bytes  # the frame's JSON, as it is sent, in one line
    text: str = ""
    terminal: bool = False
    restart: bool = False  # what was said before counts no more


Tail = Callable[[Entry], None]
"""Takes each new frame of a run inside its appending. It must not wait and must not raise. Where a frame does not
follow the one before by its number, those between are to be had by reading only: as a gap.
"""


@dataclass(frozen=True, slots=True)
class Gap:
    """Frames `first` to `last` are gone; up to `last` the answer read `answer`."""

    first: int
    last: int
    answer: str


@dataclass(frozen=True, slots=True)
class Batch:
    """All frames that were there when the reader looked, preceded by a gap where some were gone."""

    entries: tuple[Entry, ...]
    gap: Gap | None = None
