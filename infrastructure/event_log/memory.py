"""The event log of a single process: runs' frames in memory, bounded in bytes and in time.

A reader is a cursor: it keeps no queue, so a slow one costs nothing and slows nobody. One that has caught up may have
each new frame handed over as it is appended (`tail`), which saves a task's turn for every token. When a run's frames
outgrow `max_run_bytes` the oldest leave, and who still needs them gets a gap with the answer's text up to there. A
finished run's frames leave after `ttl_seconds`, but for the terminal one, which stays for `memory_seconds` (so that a
resend of the question finds its answer); after that the run is unknown, and earlier where there are more than
`max_runs`, or what is left of them takes more than `max_ended_bytes`.
"""

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence

from infrastructure.errors import NotFound
from infrastructure.event_log.entry import Batch, Entry, Tail
from infrastructure.event_log.run_log import RunLog

NO_RUN = "No such run."


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
        max_ended_bytes: int = 64 * 1024 * 1024,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runs: OrderedDict[str, RunLog] = OrderedDict()
        self._finished: OrderedDict[str, RunLog] = OrderedDict()  # whole logs of finished runs, oldest first
        self._finished_bytes = 0
        self._max_run_bytes = max_run_bytes
        self._max_bytes = max_bytes
        self._ttl = ttl_seconds
        self._memory = memory_seconds
        self._max_runs = max_runs
        self._max_ended_bytes = max_ended_bytes
        self._ended_bytes = 0  # of runs of which only the end is left
        self._monotonic = monotonic
        self.fenced: Callable[[str], None] = lambda run_id: None  # there is nobody who could

    def open(self, run_id: str, owner: str | None, seq: int = 0, answer: str = "", fence: int = 1) -> None:
        if run_id in self._runs:
            raise ValueError("this run has begun")
        self._runs[run_id] = RunLog(owner, seq, answer)

    def restore(self, run_id: str, owner: str | None, answer: str, terminal: Entry) -> None:
        if run_id in self._runs:
            return
        run = self._runs[run_id] = RunLog(owner, terminal.seq - 1, answer)
        run.append(terminal, self._max_run_bytes)
        self._finish(run_id, run)

    def append(self, run_id: str, entry: Entry) -> None:
        run = self._runs.get(run_id) or RunLog(None)
        if run.finished_at is not None or entry.seq != run.last_seq + 1:
            raise ValueError(f"frame {entry.seq} does not follow frame {run.last_seq}")
        self._runs[run_id] = run
        run.append(entry, self._max_run_bytes)
        if entry.terminal:
            self._finish(run_id, run)

    async def read(self, run_id: str, after: int = 0) -> AsyncGenerator[Batch, None]:
        run = self._find(run_id)
        after = max(after, 0)
        run.readers += 1
        try:
            while True:
                while not run.has_more(after):
                    if run.finished_at is not None or self._runs.get(run_id) is not run:
                        return
                    await run.more()
                batch = run.batch(after)
                after = run.last_seq
                yield batch
        finally:
            run.readers -= 1

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
            if self._runs.get(run_id) is not run:
                raise NotFound(NO_RUN)
            await run.more()
        return run.entries[-1]

    def last_seq(self, run_id: str) -> int:
        run = self._runs.get(run_id)
        return run.last_seq if run else 0

    def answer(self, run_id: str) -> str:
        return self._find(run_id).answer()

    def owner(self, run_id: str) -> str | None:
        return self._find(run_id).owner

    async def find(self, run_id: str) -> str | None:
        return self.owner(run_id)

    async def take_over(self, run_id: str, fence: int) -> int:
        raise NotFound(NO_RUN)

    def release(self, run_id: str) -> None:
        """There is nobody who could go on with it."""

    async def settle(self, run_id: str) -> None:
        """All that was appended is delivered."""

    async def aclose(self) -> None:
        """There is nothing to end."""

    def catch_up(
        self, run_id: str, owner: str | None, seq: int, answer: str, entries: Sequence[Entry], agreed: int
    ) -> None:
        """Have a run as somebody else holds it: the answer up to frame `seq`, and the frames behind it.

        Up to frame `agreed` what is here already is the same. Readers who have had others behind that get no frames in
        their place, but a gap with the answer's text.
        """
        run = self._runs.get(run_id)
        if run is None:
            run = self._runs[run_id] = RunLog(owner, seq, answer)
        elif agreed < run.last_seq:
            run.disputed = max(run.disputed, run.last_seq + 1)
            run.begin_at(seq, answer)
        elif seq > run.last_seq:
            run.begin_at(seq, answer)
        for entry in entries:
            if entry.seq > run.last_seq:
                self.append(run_id, entry)

    def held(self, run_id: str, after: int) -> list[Entry]:
        """The frames behind `after` that are here."""
        run = self._find(run_id)
        return list(run.batch(max(after, run.dropped)).entries) if run.last_seq > after else []

    def base(self, run_id: str) -> tuple[int, str]:
        """The newest frame that is no longer here, and the answer up to it."""
        run = self._find(run_id)
        return run.dropped, "".join(run.dropped_text)

    def finished(self, run_id: str) -> bool:
        """Whether it has had its terminal frame.

        Raises:
            NotFound: no such run, or it left.
        """
        return self._find(run_id).finished_at is not None

    def watched(self, run_id: str) -> bool:
        """Whether anybody reads a run.

        Raises:
            NotFound: no such run, or it left.
        """
        return self._find(run_id).watched

    def drop(self, run_id: str) -> None:
        """Forget a run at once, under way or not. Who reads it gets what there was, and its end."""
        if run := self._runs.get(run_id):
            self._forget(run_id, run)

    def expire(self) -> None:
        """Let finished logs go down to their last frame when their time or the room is over, and runs after theirs."""
        now = self._monotonic()
        while self._finished:
            run_id, run = next(iter(self._finished.items()))
            young = run.finished_at is not None and now - run.finished_at < self._ttl
            if young and self._finished_bytes <= self._max_bytes:
                break
            self._finished_bytes -= run.bytes
            run.shrink()
            del self._finished[run_id]
            self._ended_bytes += run.ended_bytes
        while self._runs:
            run_id, run = next(iter(self._runs.items()))
            forgotten = run.finished_at is not None and now - run.finished_at >= self._memory
            room = len(self._runs) <= self._max_runs and self._ended_bytes <= self._max_ended_bytes
            if not forgotten and (room or run.finished_at is None):
                break
            self._forget(run_id, run)

    def leave_followed(self) -> None:
        """There are none."""

    @property
    def followed(self) -> list[str]:
        """Runs under way that other processes write: here are none."""
        return []

    @property
    def held_runs(self) -> int:
        return len(self._runs)

    @property
    def held_bytes(self) -> int:
        return sum(run.bytes for run in self._runs.values())

    def _finish(self, run_id: str, run: RunLog) -> None:
        run.finished_at = self._monotonic()
        self._finished[run_id] = run
        self._finished_bytes += run.bytes
        self.expire()

    def _forget(self, run_id: str, run: RunLog) -> None:
        del self._runs[run_id]
        if self._finished.pop(run_id, None) is not None:
            self._finished_bytes -= run.bytes
        self._ended_bytes -= run.ended_bytes
        run.wake()

    def _find(self, run_id: str) -> RunLog:
        run = self._runs.get(run_id)
        if run is None:
            raise NotFound(NO_RUN)
        return run
