"""A circuit breaker: an endpoint that fails again and again is left alone for a while.

Nygard, "Release It!" (2007), chapter 5. Closed, calls pass. Open, they fail at once. Half open, one passes as a probe,
and how it ends closes the circuit or opens it again.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from infrastructure.errors import ProviderUnavailable

CLOSED, HALF_OPEN, OPEN = 0, 1, 2
Ending = Literal["ok", "failed", "refused", "left"]
"""`refused`: the endpoint lives and would not do this; `left`: nobody waited for the end. Neither is its fault."""

IN_A_ROW: Final = 5
LEAST: Final = 10
WINDOW_SECONDS: Final = 60.0


class CircuitOpen(ProviderUnavailable):
    """The endpoint failed too often and is not asked now."""

    def __init__(self, seconds: float) -> None:
        super().__init__("The model failed too often and is not asked for a while.", retry_after=max(seconds, 0.0))


@dataclass(slots=True)
class _Second:
    at: int
    calls: int = 0
    failures: int = 0


class Circuit:
    """Opens after five failures in a row, or when half of at least ten calls in a minute failed.

    A call that was let through under an earlier state says nothing about the present one, however late it ends.
    """

    def __init__(
        self,
        open_seconds: float = 30.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[int], None] = lambda state: None,
    ) -> None:
        self._open_seconds = open_seconds
        self._clock = clock
        self._on_change = on_change
        self._state = CLOSED
        self._turn = 0  # counts the states there have been
        self._until = 0.0
        self._probing = False
        self._in_a_row = 0
        self._seconds: deque[_Second] = deque()  # at most one for each second of the window

    @property
    def state(self) -> int:
        return self._state

    def check(self) -> None:
        """
        Raises:
            CircuitOpen: no call is let through now.
        """
        if self._state == CLOSED:
            return
        left = self._until - self._clock()
        if left > 0 if self._state == OPEN else self._probing:
            raise CircuitOpen(left)

    def admit(self) -> int:
        """Let a call through; the number goes back to `settle`.

        Raises:
            CircuitOpen: no call is let through now.
        """
        if self._state != CLOSED:
            self.check()
            if self._state == OPEN:
                self._become(HALF_OPEN)
            self._probing = True
        return self._turn

    def settle(self, admitted: int, ending: Ending) -> None:
        """How the call that was let through as `admitted` ended."""
        if admitted != self._turn:
            return
        if self._state == HALF_OPEN:
            self._probed(ending)
        elif ending in ("ok", "failed"):
            self._count(ending == "failed")

    def _probed(self, ending: Ending) -> None:
        self._probing = False
        if ending == "failed":
            self._open()
        elif ending != "left":
            self._become(CLOSED)

    def _count(self, failed: bool) -> None:
        now = self._clock()
        while self._seconds and self._seconds[0].at <= now - WINDOW_SECONDS:
            self._seconds.popleft()
        if not self._seconds or self._seconds[-1].at != int(now):
            self._seconds.append(_Second(int(now)))
        self._seconds[-1].calls += 1
        if not failed:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        self._seconds[-1].failures += 1
        if self._in_a_row >= IN_A_ROW or self._half_failed():
            self._open()

    def _half_failed(self) -> bool:
        calls = sum(second.calls for second in self._seconds)
        return calls >= LEAST and 2 * sum(second.failures for second in self._seconds) >= calls

    def _open(self) -> None:
        self._until = self._clock() + self._open_seconds
        self._become(OPEN)

    def _become(self, state: int) -> None:
        self._state = state
        self._turn += 1
        self._probing = False
        self._in_a_row = 0
        self._seconds.clear()
        self._on_change(state)
