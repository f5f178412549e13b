"""A run that this process writes: what was appended, and how much of it Redis has."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from infrastructure.event_log.entry import Entry
from infrastructure.event_log.memory import MemoryEventLog
from infrastructure.event_log.stored import StoredBatch, encode_batch

PORTION_BYTES = 256 * 1024  # of one run in one call
BATCH_OVERHEAD_BYTES = 64


class _Batch(NamedTuple):
    last: int
    size: int
    text: str
    restart: bool


class _Trim(NamedTuple):
    """Batches that are to leave Redis: the frames behind `base` up to `last`, and what they add to the answer."""

    base: int
    last: int
    text: str
    restart: bool


@dataclass(frozen=True, slots=True)
class Portion:
    """What one call sends of a run."""

    writing: "Writing"
    entries: list[Entry]
    size: int
    args: tuple[Any, ...]


class Writing:
    """`outbox` holds the frames that nobody has seen yet. What was delivered without Redis is in the memory's log."""

    __slots__ = ("_base", "_batches", "_size", "_trim", "anew", "ended_at", "fence", "outbox", "owner", "round",
                 "run_id", "sent", "sent_at", "seq", "since")  # fmt: skip

    def __init__(self, run_id: str, owner: str | None, fence: int, seq: int) -> None:
        self.run_id = run_id
        self.owner = owner
        self.fence = fence
        self.since = self.seq = self.sent = seq  # where it began; the newest frame; the newest that is in Redis
        self.anew = True  # Redis does not have it, or not so
        self.round = 0
        self.ended_at: float | None = None
        self.sent_at = float("-inf")
        self.outbox: deque[Entry] = deque()
        self._batches: deque[_Batch] = deque()
        self._base = self._size = 0
        self._trim: _Trim | None = None

    def go_on(self, base: int, batches: Sequence[StoredBatch]) -> None:
        """Redis has this of it, from an earlier writer."""
        self.anew = False
        self._base = base
        for batch in batches:
            self._add(batch.entries, batch.size)

    def portion(self, memory: MemoryEventLog, ttl_ms: int, under_way_ms: int) -> Portion | None:
        """The next frames that Redis does not have; None when it has all.

        Raises:
            NotFound: the log has left the memory.
        """
        base, text = memory.base(self.run_id) if self.anew or memory.last_seq(self.run_id) > self.sent else (0, "")
        if self.anew or base > self.sent:
            self.anew, self.sent = True, base
            self.round += 1
        entries, size = self._unsent(memory)
        if not entries:
            return None
        frames, meta = encode_batch(entries, self.fence)
        ended = entries[-1].terminal
        args = (
            self.fence, self.sent, entries[-1].seq, frames, meta, b"1" if ended else b"",
            ttl_ms if ended else under_way_ms, self._seldom(base, text),
        )  # fmt: skip
        return Portion(self, entries, size, args)

    def stored(self, portion: Portion, max_run_bytes: int) -> None:
        """Redis has this portion."""
        if self.anew:
            self.anew = False
            self._batches.clear()
            self._base, self._size = self.sent, 0
        elif self._trim is not None:
            self._base = self._trim.last
        self._trim = None
        self.sent = portion.entries[-1].seq
        self._add(portion.entries, portion.size)
        while self._size > max_run_bytes and len(self._batches) > 1:
            self._trim_oldest()

    def _unsent(self, memory: MemoryEventLog) -> tuple[list[Entry], int]:
        delivered = memory.held(self.run_id, self.sent) if memory.last_seq(self.run_id) > self.sent else []
        entries, size = [], BATCH_OVERHEAD_BYTES
        for entry in (*delivered, *self.outbox):
            entries.append(entry)
            size += len(entry.data) + len(entry.text)
            if size > PORTION_BYTES:
                break
        return entries, size

    def _seldom(self, base: int, text: str) -> bytes:
        if self.anew:
            make = {"round": self.round, "owner": self.owner, "since": str(self.since), "base": str(base), "text": text}
            return orjson.dumps({"make": make})
        if (trim := self._trim) is None:
            return b""
        fields = {"from": str(trim.base), "next": str(trim.last + 1), "to": str(trim.last), "text": trim.text,
                  "anew": trim.restart}  # fmt: skip
        return orjson.dumps({"trim": fields})

    def _add(self, entries: Sequence[Entry], size: int) -> None:
        restarts = [place for place, entry in enumerate(entries) if entry.restart]
        text = "".join([entry.text for entry in entries[restarts[-1] if restarts else 0 :]])
        self._batches.append(_Batch(entries[-1].seq, size, text, bool(restarts)))
        self._size += size

    def _trim_oldest(self) -> None:
        batch = self._batches.popleft()
        self._size -= batch.size
        if self._trim is None or batch.restart:
            restart = batch.restart or (self._trim is not None and self._trim.restart)
            self._trim = _Trim(self._base, batch.last, batch.text, restart)
        else:
            self._trim = self._trim._replace(last=batch.last, text=self._trim.text + batch.text)
