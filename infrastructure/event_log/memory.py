"""The event log of a single process: runs' frames in memory, bounded in bytes and in time.

A reader is a cursor: it keeps no queue, so a slow one costs nothing and slows nobody. One that has caught up may have
each new frame handed over as it is appended (`tail`), which saves a task's turn for every token. When a run's frames
outgrow `max_run_bytes` the oldest leave, and who still needs them gets a gap with the answer's text up to there. A
finished run's frames leave after `ttl_seconds`, but for the terminal one, which stays for `memory_seconds` (so that a
resend of the question finds its answer); after that the run is unknown.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable

from infrastructure.errors import NotFound
from infrastructure.event_log.entry import Batch, Entry, Gap, Tail

ENTRY_OVERHEAD_BYTES = 200  # two objects and their slots, as sys.getsizeof has them on CPython 3.11


class _RunLog:
    __slots__ = ("bytes", "dropped", "dropped_text", "entries", "finished_at", "last_seq", "owner", "tails", "waiters")

    def __init__(self, owner: str | None) -> None:
        self.owner = owner
        self.entries: deque[Entry] = deque()
        self.waiters: list[asyncio.Future[None]] = []
        self.tails: tuple[Tail, ...] = ()
        self.last_seq = 0
        self.bytes = 0
        self.dropped = 0  # frames 1..dropped are gone
        self.dropped_text: list[str] = []
        self.finished_at: float | None = None

    def append(self, entry: Entry, max_bytes: int) -> None:
        self.entries.append(entry)
        self.last_seq = entry.seq
        self.bytes += len(entry.data) + ENTRY_OVERHEAD_BYTES
        while self.bytes > max_bytes and len(self.entries) > 1:
            self.drop_oldest()
        for tail in self.tails:
            tail(entry)
        if self.waiters:
            self.wake()

    def drop_oldest(self) -> int:
        entry = self.entries.popleft()
        self.dropped = entry.seq
        if entry.text:
            self.dropped_text.append(entry.text)
        freed = len(entry.data) + ENTRY_OVERHEAD_BYTES
        self.bytes -= freed
        return freed

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


class MemoryEventLog:
    """Fits the agents' `EventLog` port. All calls are made on the event loop's thread."""

    def __init__(
        self,
        *,
        max_run_bytes: int = 4 * 1024 * 1024,
        max_bytes: int = 32 * 1024 * 1024,
        ttl_seconds: float = 900.0,
        memory_seconds: float = 86_400.0,
        max_runs: int = 10_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runs: OrderedDict[str, _RunLog] = OrderedDict()
        self._finished: OrderedDict[str, _RunLog] = OrderedDict()  # whole logs of finished runs, oldest first
        self._finished_bytes = 0
        self._max_run_bytes = max_run_bytes
        self._max_bytes = max_bytes
        self._ttl = ttl_seconds
        self._memory = memory_seconds
        self._max_runs = max_runs
        self._monotonic = monotonic

    def open(self, run_id: str, owner: str | None, seq: int = 0, answer: str = "") -> None:
        if run_id in self._runs:
            raise ValueError("this run has begun")
        run = self._runs[run_id] = _RunLog(owner)
        run.last_seq = run.dropped = seq
        run.dropped_text = [answer] if answer else []

    def restore(self, run_id: str, owner: str | None, answer: str, terminal: Entry) -> None:
        if run_id in self._runs:
            return
        run = self._runs[run_id] = _RunLog(owner)
        run.dropped, run.dropped_text = terminal.seq - 1, [answer]
        run.append(terminal, self._max_run_bytes)
        self._finish(run_id, run)

    def append(self, run_id: str, entry: Entry) -> None:
        run = self._runs.get(run_id) or _RunLog(None)
        if run.finished_at is not None or entry.seq != run.last_seq + 1:
            raise ValueError(f"frame {entry.seq} does not follow frame {run.last_seq}")
        self._runs[run_id] = run
        run.append(entry, self._max_run_bytes)
        if entry.terminal:
            self._finish(run_id, run)

    async def read(self, run_id: str, after: int = 0) -> AsyncGenerator[Batch, None]:
        run = self._find(run_id)
        after = max(after, 0)
        while True:
            while run.last_seq <= after:
                if run.finished_at is not None or self._runs.get(run_id) is not run:
                    return
                await run.more()
            batch = run.batch(after)
            after = run.last_seq
            yield batch

    def tail(self, run_id: str, after: int, take: Tail) -> Callable[[], None] | None:
        run = self._find(run_id)
        if run.last_seq != after or run.finished_at is not None:
            return None
        run.tails = (*run.tails, take)

        def stop() -> None:
            run.tails = tuple(tail for tail in run.tails if tail is not take)

        return stop

    async def terminal(self, run_id: str) -> Entry:
        run = self._find(run_id)
        while run.finished_at is None:
            await run.more()
        return run.entries[-1]

    def last_seq(self, run_id: str) -> int:
        run = self._runs.get(run_id)
        return run.last_seq if run else 0

    def answer(self, run_id: str) -> str:
        run = self._find(run_id)
        return "".join((*run.dropped_text, *(entry.text for entry in run.entries)))

    def owner(self, run_id: str) -> str | None:
        return self._find(run_id).owner

    def expire(self) -> None:
        """Let finished logs go down to their last frame when their time or the room is over, and runs after theirs."""
        now = self._monotonic()
        while self._finished:
            run_id, run = next(iter(self._finished.items()))
            young = run.finished_at is not None and now - run.finished_at < self._ttl
            if young and self._finished_bytes <= self._max_bytes:
                break
            self._finished_bytes -= run.bytes
            while len(run.entries) > 1:
                run.drop_oldest()
            run.dropped_text = ["".join(run.dropped_text)]  # one string takes a tenth of its words
            del self._finished[run_id]
        while self._runs:
            run_id, run = next(iter(self._runs.items()))
            forgotten = run.finished_at is not None and now - run.finished_at >= self._memory
            if not forgotten and (len(self._runs) <= self._max_runs or run.finished_at is None):
                break
            self._forget(run_id, run)

    @property
    def held_runs(self) -> int:
        return len(self._runs)

    @property
    def held_bytes(self) -> int:
        return sum(run.bytes for run in self._runs.values())

    def _finish(self, run_id: str, run: _RunLog) -> None:
        run.finished_at = self._monotonic()
        self._finished[run_id] = run
        self._finished_bytes += run.bytes
        self.expire()

    def _forget(self, run_id: str, run: _RunLog) -> None:
        del self._runs[run_id]
        if self._finished.pop(run_id, None) is not None:
            self._finished_bytes -= run.bytes
        run.wake()

    def _find(self, run_id: str) -> _RunLog:
        run = self._runs.get(run_id)
        if run is None:
            raise NotFound("No such run.")
        return run
