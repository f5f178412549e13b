"""How long a model may take, and the one timer that sees to it."""

import asyncio
from dataclasses import dataclass
from typing import Final

NO_START: Final = "The model did not begin to answer in time."
STALLED: Final = "The model stopped in the middle of its answer."
TOO_LONG: Final = "The model took too long to answer."


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. An event is a whole server-sent event with data: bytes that make none do not count as life."""

    connect: float = 5.0  # name look-up, TCP and TLS, for each try
    first_event: float = 30.0  # from the start of a try to its first event
    between_events: float = 30.0
    total: float = 120.0  # the whole call, with all its tries and pauses, without its place in line
    tail: float = 2.0  # for usage and [DONE], once the answer itself is complete


class Watch:
    """Ends an `asyncio.timeout` scope when the current limit has passed.

    Moving the limit on costs an attribute; the timer looks again when it rings. A timer of its own for each read, as
    `asyncio.timeout` around it would set, costs more than parsing the read.
    """

    __slots__ = ("_between", "_end", "_limit", "_loop", "_scope", "_timer", "_verdict")

    def __init__(self, scope: asyncio.Timeout, timeouts: Timeouts, deadline: float | None = None) -> None:
        self._scope = scope
        self._loop = asyncio.get_running_loop()
        self._between = timeouts.between_events
        end = self._loop.time() + timeouts.total
        self._end = end if deadline is None else min(end, deadline)
        self._limit = self._end
        self._verdict = TOO_LONG
        self._timer = self._loop.call_at(self._end, self._ring)

    @property
    def verdict(self) -> str:
        """What to say of a scope that expired."""
        return self._verdict

    def expect(self, seconds: float, verdict: str) -> None:
        """Something must happen within `seconds` from now."""
        self._limit = min(self._loop.time() + seconds, self._end)
        self._verdict = verdict
        if self._limit < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(self._limit, self._ring)

    def alive(self) -> None:
        """An event came: the next one has its full time."""
        limit = self._loop.time() + self._between
        if self._verdict is not STALLED:
            self.expect(self._between, STALLED)
        elif limit < self._end:
            self._limit = limit
        else:
            self._limit = self._end

    def close(self) -> None:
        self._timer.cancel()

    def _ring(self) -> None:
        now = self._loop.time()
        if now >= self._limit:
            if self._limit >= self._end:
                self._verdict = TOO_LONG
            self._scope.reschedule(now)
        else:
            self._timer = self._loop.call_at(self._limit, self._ring)
