"""What an event log holds and gives: encoded frames with their numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class Entry(NamedTuple):
    """One frame of a run. `text` is what it adds to the answer; the texts of all entries joined are the answer."""

    seq: int
    data: bytes  # the frame's JSON, as it is sent
    text: str = ""
    terminal: bool = False


Tail = Callable[[Entry], None]
"""Takes each new frame of a run inside its appending. It must not wait and must not raise."""


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
