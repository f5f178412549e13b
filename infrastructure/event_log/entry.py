"""What an event log holds and gives: encoded frames with their numbers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One frame of a run. `text` is what it adds to the answer; the texts of all entries joined are the answer."""

    seq: int
    data: bytes  # the frame's JSON, as it is sent
    text: str = ""
    terminal: bool = False


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
