"""The frames of one run as a process holds them, with those who wait for more."""

import asyncio
import sys
from collections import deque

from infrastructure.event_log.entry import Batch, Entry, Gap, Tail

ENTRY_OVERHEAD_BYTES = 200  # two objects and their slots, as sys.getsizeof has them on CPython 3.11
ENDED_OVERHEAD_BYTES = 1300  # a run of which only the end is left, besides its frame and its text


class RunLog:
    """Frames behind number `dropped`; of what is gone only the answer's text is left, `dropped_text` joined."""

    __slots__ = ("bytes", "disputed", "dropped", "dropped_text", "ended_bytes", "entries", "finished_at", "last_seq",
                 "owner", "readers", "tails", "waiters")  # fmt: skip

    def __init__(self, owner: str | None, seq: int = 0, answer: str = "") -> None:
        self.owner = owner
        self.entries: deque[Entry] = deque()
        self.waiters: list[asyncio.Future[None]] = []
        self.tails: tuple[Tail, ...] = ()
        self.readers = 0
        self.last_seq = self.dropped = seq
        self.dropped_text = [answer] if answer else []
        self.bytes = 0
        self.ended_bytes = 0  # what is left takes, about, once it is only the end
        self.disputed = 0  # up to here readers may have had other frames than these: they are given the text instead
        self.finished_at: float | None = None

    @property
    def watched(self) -> bool:
        return bool(self.readers or self.tails or self.waiters)

    def append(self, entry: Entry, max_bytes: int) -> None:
        self.entries.append(entry)
        self.last_seq = entry.seq
        self.bytes += len(entry.data) + ENTRY_OVERHEAD_BYTES
        if entry.seq <= self.disputed and not entry.terminal:
            self.drop_oldest()
            return
        while self.bytes > max_bytes and len(self.entries) > 1:
            self.drop_oldest()
        for tail in self.tails:
            tail(entry)
        if self.waiters:
            self.wake()

    def begin_at(self, seq: int, answer: str) -> None:
        """Let go of all frames: the next one follows `seq`, up to which the answer read `answer`."""
        self.entries.clear()
        self.bytes = 0
        self.last_seq = self.dropped = seq
        self.dropped_text = [answer]

    def drop_oldest(self) -> int:
        """Let go of the oldest frame; the bytes that this frees."""
        entry = self.entries.popleft()
        self.dropped = entry.seq
        if entry.restart:
            self.dropped_text = []
        if entry.text:
            self.dropped_text.append(entry.text)
        freed = len(entry.data) + ENTRY_OVERHEAD_BYTES
        self.bytes -= freed
        return freed

    def shrink(self) -> None:
        """Let go of all but the last frame and the answer's text, of which one string takes a tenth of its words."""
        while len(self.entries) > 1:
            self.drop_oldest()
        text = "".join(self.dropped_text)
        self.dropped_text = [text]
        self.ended_bytes = ENDED_OVERHEAD_BYTES + self.bytes + sys.getsizeof(text)

    def answer(self) -> str:
        texts = self.dropped_text.copy()
        for entry in self.entries:
            if entry.restart:
                texts.clear()
            texts.append(entry.text)
        return "".join(texts)

    async def more(self) -> None:
        """Wait for the next frame. Who stops waiting leaves nothing behind."""
        waiter = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self.waiters:
                self.waiters.remove(waiter)
            raise

    def wake(self) -> None:
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def has_more(self, after: int) -> bool:
        """Whether a frame is held that a reader who has all up to `after` is to get."""
        return self.last_seq > after and self.last_seq > self.dropped

    def batch(self, after: int) -> Batch:
        gap = None
        if after < self.dropped:
            answer = "".join(self.dropped_text)
            self.dropped_text = [answer]
            gap = Gap(after + 1, self.dropped, answer)
            after = self.dropped
        skip = after - self.dropped
        if skip == 0:
            return Batch(tuple(self.entries), gap)
        newer = len(self.entries) - skip
        if newer == 1:  # the usual case of a live reader
            return Batch((self.entries[-1],), gap)
        return Batch(tuple(self.entries[i] for i in range(skip, len(self.entries))), gap)
