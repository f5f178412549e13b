"""Ended runs on their way out: a bounded queue, and a thread that sends what is in it.

Nothing that happens behind the queue is felt before it: a far end that is slow, gone or hostile costs traces only.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from infrastructure.tracing.record import Trace

log = structlog.get_logger()
OnBroken = Callable[[Exception], None]
OnDropped = Callable[[str, int], None]
"""Told why traces were dropped (`full`, `refused`, `broken`), and how many."""


@dataclass(frozen=True, slots=True)
class Batching:
    """As OTEL_BSP_* have it: how many spans wait at most, how many are sent at once, and after how many seconds."""

    queue: int = 2048
    batch: int = 512
    seconds: float = 5.0


class Encoding(Protocol):
    """Who makes bodies."""

    def encode(self, traces: Iterable[Trace], on_broken: OnBroken) -> bytes:
        """All traces in one body, but those that cannot be said: `on_broken` is told why."""


class Sending(Protocol):
    """Who carries bodies away."""

    def send(self, data: bytes) -> str | None:
        """Blocks. None when it was taken, else why not."""

    def shutdown(self) -> None:
        """Give up waiting between tries."""


class Export:
    """One destination."""

    def __init__(
        self, name: str, encoder: Encoding, sender: Sending, batching: Batching, on_dropped: OnDropped
    ) -> None:
        self._name = name
        self._encoder = encoder
        self._sender = sender
        self._batching = batching
        self._on_dropped = on_dropped
        self._queue: deque[Trace] = deque()
        self._put = 0  # spans ever; each of the two is written by one thread alone
        self._got = 0
        self._full = False
        self._failing = False
        self._ends_at: float | None = None  # on the monotonic clock
        self._awake = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"traces to {name}", daemon=True)
        self._thread.start()

    def take(self, trace: Trace) -> None:
        """Have it sent, or dropped where too much waits. Returns at once; called by one thread."""
        waiting = self._put - self._got + len(trace.spans)
        if waiting > self._batching.queue:
            if not self._full:
                log.warning("traces are dropped: too many wait to be sent", destination=self._name)
            self._full = True
            self._on_dropped("full", 1)
            return
        self._full = False
        self._queue.append(trace)
        self._put += len(trace.spans)
        if waiting >= self._batching.batch:
            self._awake.set()

    async def aclose(self, seconds: float) -> None:
        """Send what waits, for at most that long; the rest is dropped."""
        self._ends_at = time.monotonic() + seconds
        self._awake.set()
        await asyncio.to_thread(self._thread.join, seconds)
        self._sender.shutdown()
        if left := len(self._queue):
            self._on_dropped("refused", left)
            log.warning("traces were not sent before the end", destination=self._name, traces=left)

    def _work(self) -> None:
        while self._ends_at is None:
            full = self._awake.wait(self._batching.seconds)
            self._awake.clear()
            try:
                self._send_all(self._batching.batch if full and self._ends_at is None else 1)
            except Exception as error:  # noqa: BLE001  a thread's edge: the next batch may do better
                self._refused(type(error).__name__, 0)

    def _send_all(self, least: int) -> None:
        """Send batches for as long as at least so many spans wait: what is no batch yet waits for its time."""
        while self._queue and self._put - self._got >= least:
            if self._ends_at is not None and time.monotonic() >= self._ends_at:
                return
            self._send(self._next())

    def _next(self) -> Sequence[Trace]:
        """A batch; a run's spans stay together."""
        traces: list[Trace] = []
        spans = 0
        while self._queue and (not traces or spans + len(self._queue[0].spans) <= self._batching.batch):
            trace = self._queue.popleft()
            spans += len(trace.spans)
            traces.append(trace)
        self._got += spans
        return traces

    def _send(self, traces: Sequence[Trace]) -> None:
        why = self._sender.send(self._encoder.encode(traces, self._broken))
        if why is not None:
            self._refused(why, len(traces))
        elif self._failing:
            self._failing = False
            log.info("traces are taken again", destination=self._name)

    def _broken(self, error: Exception) -> None:
        self._on_dropped("broken", 1)
        log.warning("a trace cannot be encoded", destination=self._name, error=type(error).__name__)

    def _refused(self, why: str, traces: int) -> None:
        if not self._failing:
            log.warning("traces are not taken", destination=self._name, reason=why)
        self._failing = True
        if traces:
            self._on_dropped("refused", traces)
