"""The latest errors, for whoever runs the service: what, where and under which id, never by whom or of what."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from infrastructure.log_ids import current_ids

KEPT = 50  # of each sort, a hundred in all
OF_CALLERS = frozenset(
    {"bad_request", "unauthorized", "forbidden", "not_found", "method_not_allowed", "request_timeout", "conflict",
     "payload_too_large", "unsupported_media_type", "validation_error", "rate_limited", "headers_too_large", "error"}
)  # fmt: skip
"""Kinds that say no to a caller. All others are faults, ours or of what we stand on."""
SOCKET, RUN = "websocket", "run"


@dataclass(slots=True)
class SeenError:
    """`where` is a route's template, `websocket` or `run`; `at` is when it was last seen, in Unix seconds."""

    at: float
    kind: str
    where: str
    request_id: str
    run_id: str | None
    count: int = 1


class RecentErrors:
    """Faults and refusals, each sort in a ring of its own, so that a flood of refusals hides no fault.

    Ids are those that log lines carry. The same kind within one request, or one connection, is one entry.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._faults: OrderedDict[tuple[str, str], SeenError] = OrderedDict()
        self._refusals: OrderedDict[tuple[str, str], SeenError] = OrderedDict()

    def seen(self, kind: str) -> None:
        """An error became a response or a frame."""
        known = self._entry(kind)
        if known is not None and known.where == RUN:
            return  # it is the run's, told once more to the one who asked
        self._note(kind, SOCKET)

    def of_run(self, kind: str) -> None:
        """A run ended so."""
        self._note(kind, RUN)

    def answered(self, route: str) -> None:
        """The request that log lines here belong to ended as an error: now its route is known."""
        request_id = _request_id()
        for ring in (self._faults, self._refusals):
            if ring and (latest := next(reversed(ring.values()))).request_id == request_id:
                latest.where = route

    def latest(self, most: int = 2 * KEPT) -> list[SeenError]:
        """The newest first."""
        both = [*self._faults.values(), *self._refusals.values()]
        return sorted(both, key=lambda error: error.at, reverse=True)[:most]

    def _note(self, kind: str, where: str) -> None:
        ring, ids = self._ring(kind), current_ids()
        request_id, run_id = ids.get("request_id", ""), ids.get("run_id")
        key = (kind, request_id or run_id or "")
        entry = ring.get(key)
        if entry is None:
            entry = ring[key] = SeenError(self._clock(), kind, where, request_id, run_id)
            if len(ring) > KEPT:
                ring.popitem(last=False)
            return
        entry.at, entry.where, entry.count = self._clock(), where, entry.count + 1
        entry.run_id = run_id or entry.run_id
        ring.move_to_end(key)

    def _entry(self, kind: str) -> SeenError | None:
        return self._ring(kind).get((kind, _request_id()))

    def _ring(self, kind: str) -> OrderedDict[tuple[str, str], SeenError]:
        return self._refusals if kind in OF_CALLERS else self._faults


def is_fault(kind: str) -> bool:
    return kind not in OF_CALLERS


def _request_id() -> str:
    return current_ids().get("request_id", "")
