"""Figures for those who run the service: measured, never constants."""

from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import exposition
from prometheus_client.openmetrics import exposition as openmetrics
from starlette.responses import Response

from backend.dependencies import CallerAddress, Operator, Parts
from backend.schemas.ask import error_responses

router = APIRouter(tags=["operations"], dependencies=[Operator], responses=error_responses(401, 403))


@router.get("/metrics", response_class=Response)
async def metrics(request: Request, parts: Parts) -> Response:
    """Prometheus text, or OpenMetrics where `Accept` asks for it."""
    parts.metrics.sessions.set(len(parts.sessions))
    if "application/openmetrics-text" in request.headers.get("accept", ""):
        body = openmetrics.generate_latest(parts.metrics.registry)  # type: ignore[no-untyped-call]  # untyped there
        return Response(body, media_type=openmetrics.CONTENT_TYPE_LATEST)
    return Response(exposition.generate_latest(parts.metrics.registry), media_type=exposition.CONTENT_TYPE_LATEST)


@router.get("/session/stats")
async def session_stats(parts: Parts) -> dict[str, Any]:
    """Sessions and runs that this process holds."""
    return {
        "sessions": len(parts.sessions),
        "active_sessions": parts.sessions.active,
        "active_runs": parts.runner.active,
        "held_runs": parts.event_log.held_runs,
        "held_bytes": parts.event_log.held_bytes,
        "concurrency": parts.settings.session_concurrency,
        "ttl_days": parts.settings.session_ttl_days,
    }


@router.get("/rate-limit/status")
async def rate_limit_status(parts: Parts, caller: CallerAddress) -> dict[str, Any]:
    """What the caller has left."""
    left = parts.limit.look(caller)
    return {
        "limit": left.limit,
        "remaining": left.remaining,
        "reset": left.reset,
        "window_seconds": parts.settings.rate_limit_window_seconds,
        "refused_total": parts.limit.refused,
    }
