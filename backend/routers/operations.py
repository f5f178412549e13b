"""Figures for those who run the service: measured, never constants."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from backend.dependencies import CallerAddress, Operator, Parts
from backend.figures import agent_stats, health_status, performance_stats, system_metrics
from backend.schemas.ask import error_responses
from backend.schemas.operations import (
    AgentStats,
    HealthStatus,
    PerformanceStats,
    RateLimitStatus,
    SessionStats,
    SystemMetrics,
)
from infrastructure.exposition import OPEN_TYPE, TEXT_TYPE

router = APIRouter(tags=["operations"], dependencies=[Operator], responses=error_responses(401, 403))


@router.get("/metrics", response_class=Response)
async def metrics(request: Request, parts: Parts) -> Response:
    """Prometheus text, or OpenMetrics where `Accept` asks for it."""
    openly = "application/openmetrics-text" in request.headers.get("accept", "")
    return Response(await parts.metrics.scrape(openly), media_type=OPEN_TYPE if openly else TEXT_TYPE)


@router.get("/health-status")
async def health_status_now(parts: Parts) -> HealthStatus:
    """How each part is, with a score. The database and the embeddings are tried, every few seconds at most."""
    return await health_status(parts)


@router.get("/system-metrics")
async def system_metrics_now(parts: Parts) -> SystemMetrics:
    """Memory, processor, files, disk, and how late the event loop is."""
    return await system_metrics(parts)


@router.get("/performance-stats")
async def performance_stats_now(parts: Parts) -> PerformanceStats:
    """Questions, errors, tokens and how long things took, in the last minute, five minutes and hour."""
    return performance_stats(parts)


@router.get("/agent-stats")
async def agent_stats_now(parts: Parts) -> AgentStats:
    """Which model answers, what became of the runs since the start, and how the providers are."""
    return agent_stats(parts)


@router.get("/session/stats")
async def session_stats(parts: Parts) -> SessionStats:
    """Sessions and runs that this process holds."""
    return SessionStats(
        sessions=len(parts.sessions),
        active_sessions=parts.sessions.active,
        active_runs=parts.runner.active,
        held_runs=parts.event_log.held_runs,
        held_bytes=parts.event_log.held_bytes,
        concurrency=parts.settings.session_concurrency,
        ttl_days=parts.settings.session_ttl_days,
    )


@router.get("/rate-limit/status")
async def rate_limit_status(parts: Parts, caller: CallerAddress) -> RateLimitStatus:
    """What the caller has left."""
    left = await parts.limit.look(caller)
    return RateLimitStatus(
        limit=left.limit,
        remaining=left.remaining,
        reset=left.reset,
        window_seconds=parts.settings.rate_limit_window_seconds,
        refused_total=parts.limit.refused,
    )
