"""What the dashboard is sent: a quarter of an hour at once, then how things are, again and again."""

import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import asdict
from math import inf
from typing import TYPE_CHECKING, Any

import orjson

from backend.figures import (
    agent_stats,
    error_rate,
    health_status,
    hit_rate,
    system_metrics,
    window_body,
)
from backend.streaming import Stream
from infrastructure.recent_errors import SeenError, is_fault
from infrastructure.run_figures import (
    COMPLETION_TOKENS,
    FIRST_TOKEN,
    LOOP_LAG,
    NEXT_TOKEN,
    PROMPT_TOKENS,
    QUESTIONS,
    REQUESTS,
    RUN,
    SERVER_ERRORS,
)
from infrastructure.windows import SLOT_SECONDS, Distribution, Slot, Window

if TYPE_CHECKING:
    from backend.container import Container

HISTORY_SECONDS = 900.0
FRAME_SECONDS = 60.0  # of slots in each frame: a viewer that missed some has them all the same
ERRORS_SHOWN = 50
RETRY = b"retry: 2000\n\n"


class DashboardStream(Stream):
    """`event: history` once, with the points of the last 15 minutes, then an `event: frame` every two seconds."""

    def __init__(self, parts: "Container", *, send_timeout: float, on_slow: Callable[[], None]) -> None:
        super().__init__(silence=inf, send_timeout=send_timeout, on_slow=on_slow)
        self._parts = parts

    async def write(self) -> None:
        async with aclosing(self._parts.figures.board.frames(lambda: frame(self._parts))) as frames:
            first = await anext(frames)  # too many viewers: told before the head leaves
            await self.put(RETRY + _event("history", {"points": points(self._parts, HISTORY_SECONDS)}) + first)
            async for newer in frames:
                await self.put(newer)


async def frame(parts: "Container") -> bytes:
    """How things are, encoded once for all who watch."""
    figures = parts.figures
    health, system = await health_status(parts), await system_metrics(parts)
    body = {
        "at": round(time.time(), 1),
        "health": health.model_dump(),
        "system": system.model_dump(),
        "agent": agent_stats(parts).model_dump(),
        "windows": {name: window_body(figures.window(s)).model_dump() for name, s in (("1m", 60.0), ("5m", 300.0))},
        "points": points(parts, FRAME_SECONDS),
        "errors": [_error(error) for error in figures.errors.latest(ERRORS_SHOWN)],
    }
    return _event("frame", body)


def points(parts: "Container", seconds: float) -> list[dict[str, Any]]:
    """A point for each closed slot of the last `seconds`: its end in Unix seconds, and what was in it."""
    now = parts.figures.clock()
    epoch = time.time() - now
    return [_point(slot, epoch) for slot in parts.figures.recent.slots(seconds, now)]


def _point(slot: Slot, epoch: float) -> dict[str, Any]:
    run, first = slot.seen.get(RUN, _NOTHING), slot.seen.get(FIRST_TOKEN, _NOTHING)
    following, lag = slot.seen.get(NEXT_TOKEN, _NOTHING), slot.seen.get(LOOP_LAG, _NOTHING)
    run_p50, run_p95 = run.percentiles((0.5, 0.95))
    lag_p95, lag_most = lag.percentiles((0.95, 1.0))
    first_p50, first_p95 = first.percentiles((0.5, 0.95))
    return {
        "slot": slot.index,
        "at": round(slot.ends_at + epoch, 1),
        "questions": _a_minute(slot, QUESTIONS),
        "requests": _a_minute(slot, REQUESTS), "server_errors": _a_minute(slot, SERVER_ERRORS),
        "errors": _error_rate(slot),
        "run_p50": run_p50, "run_p95": run_p95,
        "first_p50": first_p50, "first_p95": first_p95,
        "token_p95": following.percentiles((0.95,))[0],
        "prompt": _a_minute(slot, PROMPT_TOKENS), "completion": _a_minute(slot, COMPLETION_TOKENS),
        "cache": hit_rate(slot.counts),
        "lag": lag_p95, "lag_most": lag_most,
        **slot.levels,
    }  # fmt: skip


def _a_minute(slot: Slot, name: str) -> float:
    return round(slot.counts.get(name, 0) * 60 / SLOT_SECONDS, 1)


def _error_rate(slot: Slot) -> float | None:
    return error_rate(Window(SLOT_SECONDS, slot.counts, {}))


def _error(error: SeenError) -> dict[str, Any]:
    return {**asdict(error), "fault": is_fault(error.kind)}


def _event(name: str, body: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(body))


_NOTHING = Distribution()
