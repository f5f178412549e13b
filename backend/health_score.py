"""From what was measured of each part to a word, a score, and one score for all: pure functions."""

from collections.abc import Mapping
from typing import Literal

from backend.probes import Probed
from backend.schemas.operations import Component, Components, Status

WEIGHTS: Mapping[str, int] = {
    "agent": 25, "database": 25, "model": 20, "embeddings": 15, "websocket": 10, "cache": 5,
}  # fmt: skip
"""What each part is worth. The agent and the database are needed for every kept answer; a cache is only a help."""
NEEDED = ("agent", "database")
HEALTHY, DEGRADED = 80, 40  # the least score of each
SLOW_PING_SECONDS = 0.25
LATE_SECONDS, VERY_LATE_SECONDS = 0.05, 0.25  # of the 95th percentile of the loop's lag
FEWEST_RUNS = 5  # from which a share of errors says something
FULL = 0.9  # of the runs that may go on at once


def scored(score: int, detail: str, seconds: float | None = None) -> Component:
    status: Status = "healthy" if score >= HEALTHY else "degraded" if score >= DEGRADED else "unhealthy"
    return Component(status=status, score=score, detail=detail, seconds=seconds)


def probed(found: Probed, slow_seconds: float | None = None) -> Component:
    """A part that was tried. One that fails is worth nothing, one that is slow half."""
    if found.ok is False:
        return scored(0, "does not answer", found.seconds)
    if found.ok is None:
        return scored(50, "has not answered yet", found.seconds)
    if slow_seconds is not None and found.seconds > slow_seconds:
        return scored(60, "answers slowly", found.seconds)
    return scored(100, "answers", found.seconds)


def cache(enabled: bool, available: bool, hit_rate: float | None) -> Component:
    if not enabled:
        return Component(status="off", score=None, detail="switched off")
    if not available:
        return scored(0, "keeps nothing: its folder cannot be written")
    return scored(100, "not asked lately" if hit_rate is None else f"hit rate {_percent(hit_rate)}")


def model(extractive: bool, circuit: int, last_call: str | None) -> Component:
    """`circuit` is that of the provider that answers: 0 closed, 1 half open, 2 open."""
    if extractive:
        return scored(100, "the knowledge answers by itself")
    if circuit == 2:
        return scored(0, "failed too often and is not asked for a while")
    if circuit == 1:
        return scored(50, "is tried again after failures")
    if last_call is None:
        return Component(status="unknown", score=None, detail="not asked yet")
    return scored(100, "the last call succeeded") if last_call == "ok" else scored(50, "the last call failed")


def websocket(draining: bool, connections: int, late: float | None) -> Component:
    """`late`: the 95th percentile of the event loop's lag, which is what every socket waits for, in seconds."""
    said = f"{connections} connection{'' if connections == 1 else 's'}"
    if draining:
        return scored(0, "closing: the service restarts", late)
    if late is None:
        return Component(status="unknown", score=None, detail=said)
    if late > VERY_LATE_SECONDS:
        return scored(20, f"{said}; the event loop is very late", late)
    return scored(60, f"{said}; the event loop is late", late) if late > LATE_SECONDS else scored(100, said, late)


def agent(*, draining: bool, loaded: bool, active: int, most: int, runs: int, error_rate: float | None) -> Component:
    """`runs` ended lately, of which `error_rate` as errors."""
    said = f"{active} run{'' if active == 1 else 's'} under way"
    if draining:
        return scored(0, f"{said}; takes no more questions: the service restarts")
    if not loaded:
        return scored(50, "the knowledge is being loaded")
    score = 100
    if active >= FULL * most:
        said, score = f"{said}, nearly as many as may be", 50
    if error_rate is not None and runs >= FEWEST_RUNS:
        score = min(score, round(100 * (1 - error_rate)))
        if error_rate:
            said += f"; {_percent(error_rate)} of the latest failed"
    return scored(score, said)


def overall(components: Components) -> tuple[Literal["healthy", "degraded", "unhealthy"], float]:
    """The service's word and score. A part without a score counts for neither."""
    known = {name: part for name in WEIGHTS if (part := getattr(components, name)).score is not None}
    weight = sum(WEIGHTS[name] for name in known)
    score = round(sum(WEIGHTS[name] * part.score for name, part in known.items()) / weight, 1) if weight else 0.0
    if any(getattr(components, name).status == "unhealthy" for name in NEEDED):
        return "unhealthy", score
    return ("healthy" if all(part.status == "healthy" for part in known.values()) else "degraded"), score


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\u00a0%"
