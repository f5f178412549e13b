"""The figures of this process: what is measured for them, and how they are gathered when somebody looks."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal, cast

from backend import counters, health_score
from backend.board import Board
from backend.probes import Probe, ping
from backend.schemas.operations import (
    AgentStats,
    Components,
    HealthMetrics,
    HealthStatus,
    PerformanceStats,
    ProviderState,
    Spread,
    SystemMetrics,
    WindowBody,
)
from backend.vitals import Vitals, levels
from infrastructure.database.engine import Database
from infrastructure.monitoring import Metrics
from infrastructure.run_figures import (
    COMPLETION_TOKENS,
    FIRST_TOKEN,
    LOOP_LAG,
    NEXT_TOKEN,
    NO_FAULT,
    OUTCOME,
    PROMPT_TOKENS,
    QUESTIONS,
    REQUESTS,
    RUN,
    SERVER_ERRORS,
)
from infrastructure.windows import Distribution, Window, until_next_slot
from services.serving_model import ServingModel

if TYPE_CHECKING:
    from backend.container import Container

WINDOWS: Mapping[Literal["1m", "5m", "1h"], float] = {"1m": 60.0, "5m": 300.0, "1h": 3600.0}
LATELY = 300.0  # seconds that health is judged by
CACHE_HITS, CACHE_ASKED = "cache_hits", "cache_asked"
DATABASE_PAUSE, LOCAL_PAUSE, REMOTE_PAUSE = 2.0, 5.0, 30.0
"""Seconds between two tries, of what others are waiting for too, and of what may cost money."""
FEWEST_TIMERS = 20  # of which one late one is not yet the 95th percentile
CIRCUIT: tuple[Literal["closed", "half_open", "open"], ...] = ("closed", "half_open", "open")


class Figures:
    """What is measured beside the requests. `watched`: levels that are noted every ten seconds."""

    def __init__(
        self, metrics: Metrics, database: Database, serving: ServingModel, vitals: Vitals,
        watched: Mapping[str, Callable[[], float]], clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.clock = clock
        self.recent = metrics.lately.recent
        self.errors = metrics.lately.errors
        self.vitals = vitals
        self.database = Probe("database", lambda: ping(database), lambda: DATABASE_PAUSE)
        self.embeddings = Probe(
            "embeddings",
            lambda: serving.embeddings.probe(),
            lambda: REMOTE_PAUSE if serving.embeddings.local is None else LOCAL_PAUSE,
        )
        self.recent.follow(QUESTIONS, lambda: counters.total(metrics.queries))
        self.recent.follow(CACHE_HITS, lambda: counters.hits_and_asked(metrics.cache_operations)[0])
        self.recent.follow(CACHE_ASKED, lambda: counters.hits_and_asked(metrics.cache_operations)[1])
        for name, level in {**levels(), **watched}.items():
            self.recent.watch(name, level)
        self.board = Board()
        self._started = clock()

    @property
    def uptime(self) -> float:
        """Seconds."""
        return round(self.clock() - self._started, 1)

    def window(self, seconds: float) -> Window:
        return self.recent.window(seconds, self.clock())

    async def close_slots(self) -> None:
        """Close each slot of ten seconds when it is over, whether somebody looks or not."""
        while True:
            await asyncio.sleep(until_next_slot(self.clock()))
            self.recent.roll(self.clock())

    async def aclose(self) -> None:
        await self.board.aclose()
        await self.database.aclose()
        await self.embeddings.aclose()


def error_rate(window: Window) -> float | None:
    """The share of ended runs that ended as an error; None where none ended."""
    outcomes = outcomes_of(window)
    ended = sum(outcomes.values())
    return sum(number for name, number in outcomes.items() if name not in NO_FAULT) / ended if ended else None


def outcomes_of(window: Window) -> dict[str, int]:
    return {
        name.removeprefix(OUTCOME): int(number) for name, number in window.counts.items() if name.startswith(OUTCOME)
    }


def hit_rate(counts: Mapping[str, float]) -> float | None:
    asked = counts.get(CACHE_ASKED, 0)
    return round(counts.get(CACHE_HITS, 0) / asked, 4) if asked else None


def spread(found: Distribution) -> Spread:
    p50, p95, p99 = (_rounded(value) for value in found.percentiles((0.5, 0.95, 0.99)))
    return Spread(count=found.count, mean=_rounded(found.mean), p50=p50, p95=p95, p99=p99)


def window_body(window: Window) -> WindowBody:
    return WindowBody(
        seconds=round(window.seconds, 1),
        questions=int(window.count(QUESTIONS)),
        questions_per_minute=round(window.a_minute(QUESTIONS), 2),
        outcomes=outcomes_of(window),
        error_rate=_rounded(error_rate(window)),
        run_seconds=spread(window.seen[RUN]),
        first_token_seconds=spread(window.seen[FIRST_TOKEN]),
        inter_token_seconds=spread(window.seen[NEXT_TOKEN]),
        loop_lag_seconds=spread(window.seen[LOOP_LAG]),
        prompt_tokens=int(window.count(PROMPT_TOKENS)),
        completion_tokens=int(window.count(COMPLETION_TOKENS)),
        requests=int(window.count(REQUESTS)),
        requests_per_minute=round(window.a_minute(REQUESTS), 2),
        server_errors=int(window.count(SERVER_ERRORS)),
        cache_hit_rate=hit_rate(window.counts),
    )


def performance_stats(parts: "Container") -> PerformanceStats:
    figures = parts.figures
    windows = {name: window_body(figures.window(seconds)) for name, seconds in WINDOWS.items()}
    return PerformanceStats(uptime_seconds=figures.uptime, windows=windows)


async def health_status(parts: "Container") -> HealthStatus:
    """Try the database and the embeddings, look at the rest, and score it all."""
    figures = parts.figures
    database, embeddings = await asyncio.gather(figures.database.look(), figures.embeddings.look())
    window, late = figures.window(LATELY), figures.window(WINDOWS["1m"]).seen[LOOP_LAG]
    failed = error_rate(window)
    circuits = {s.labels["provider"]: int(s.value) for s in counters.samples(parts.metrics.circuit, "_state")}
    components = Components(
        agent=health_score.agent(
            draining=parts.runner.draining,
            loaded=parts.indexer.loaded,
            active=parts.runner.active,
            most=parts.settings.max_active_runs,
            runs=sum(outcomes_of(window).values()),
            error_rate=failed,
        ),
        embeddings=health_score.probed(embeddings),
        cache=health_score.cache(parts.settings.cache_enabled, parts.cache.stats().available, hit_rate(window.counts)),
        database=health_score.probed(database, health_score.SLOW_PING_SECONDS),
        model=health_score.model(
            parts.model.name == "extractive", circuits.get(parts.model.name, 0), parts.metrics.last_call
        ),
        websocket=health_score.websocket(
            parts.websockets.draining,
            _connections(parts),
            _rounded(late.percentiles((0.95,))[0]) if late.count >= FEWEST_TIMERS else None,
        ),
    )
    status, score = health_score.overall(components)
    return HealthStatus(
        status=status, health_score=score, components=components, metrics=_health_metrics(parts, window, failed)
    )


def _health_metrics(parts: "Container", window: Window, failed: float | None) -> HealthMetrics:
    return HealthMetrics(
        active_sessions=parts.sessions.active,
        active_runs=parts.runner.active,
        active_connections=_connections(parts),
        cache_hit_rate=hit_rate(window.counts) or 0.0,
        avg_response_time=_rounded(window.seen[RUN].mean) or 0.0,
        questions_per_minute=round(window.a_minute(QUESTIONS), 2),
        error_rate=_rounded(failed) or 0.0,
        uptime_seconds=parts.figures.uptime,
    )


async def system_metrics(parts: "Container") -> SystemMetrics:
    signs = await parts.figures.vitals.read()
    late = parts.figures.window(WINDOWS["1m"]).seen[LOOP_LAG]
    return SystemMetrics(
        version=parts.version, uptime_seconds=parts.figures.uptime, loop_lag_seconds=spread(late), **asdict(signs)
    )


def agent_stats(parts: "Container") -> AgentStats:
    metrics = parts.metrics
    runs = counters.by_label(metrics.runs, "outcome")
    ended, answered = sum(runs.values()), sum(number for name, number in runs.items() if name in NO_FAULT)
    scored = counters.total(metrics.confidence, "_count")
    return AgentStats(
        provider=parts.model.name,
        model=parts.model.model,
        draining=parts.runner.draining,
        active_runs=parts.runner.active,
        max_active_runs=parts.settings.max_active_runs,
        active_sessions=parts.sessions.active,
        questions_total=int(counters.total(metrics.queries)),
        runs_total=runs,
        success_rate=_rounded(answered / ended) if ended else None,
        avg_confidence=_rounded(counters.total(metrics.confidence, "_sum") / scored) if scored else None,
        prompt_tokens_total=int(counters.total(metrics.tokens, kind="prompt")),
        completion_tokens_total=int(counters.total(metrics.tokens, kind="completion")),
        citations_rejected_total=int(counters.total(metrics.rejected_citations)),
        replays_total=int(counters.total(metrics.replays)),
        dropped_readers_total=int(counters.total(metrics.dropped)),
        providers=provider_states(metrics),
        tools=sorted(parts.tools.offered()),
    )


def provider_states(metrics: Metrics) -> dict[str, ProviderState]:
    """Each configured provider's circuit, and its calls since the start."""
    return {
        (name := sample.labels["provider"]): ProviderState(
            circuit=CIRCUIT[int(sample.value)],
            calls=counters.by_label(metrics.provider_requests, "outcome", provider=name),
        )
        for sample in counters.samples(metrics.circuit, "_state")
    }


def _connections(parts: "Container") -> int:
    return cast(int, parts.websockets.stats()["active_connections"])


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
