"""The operations page, live."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.responses import FileResponse, Response

from backend.dashboard_feed import DashboardStream
from backend.dependencies import Operator, Parts

router = APIRouter(include_in_schema=False, dependencies=[Operator])
PAGE = Path(__file__).parent.parent / "static" / "dashboard.html"


@router.get("/dashboard", response_class=Response)
async def dashboard() -> FileResponse:
    """How the service is, for those who run it."""
    return FileResponse(PAGE, headers={"Cache-Control": "no-cache"})


@router.get("/dashboard/events", response_class=Response)
async def events(parts: Parts) -> Any:
    """What the page shows, as server-sent events."""
    return DashboardStream(
        parts, send_timeout=parts.settings.ws_send_timeout_seconds, on_slow=parts.metrics.dropped.inc
    )
