"""Is it alive, is it ready, and what is it."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from backend.dependencies import Parts
from backend.health import readiness
from backend.schemas.ask import error_responses

router = APIRouter(tags=["health"], responses=error_responses(503))


class Health(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    status: str
    agent_loaded: bool
    message: str
    version: str
    model: str


@router.get("/health")
async def health(parts: Parts) -> Health:
    """In short, for people and older monitors."""
    state = await readiness(parts)
    return Health(
        status="healthy" if state.ready else "degraded",
        agent_loaded=True,
        message=parts.model_message,
        version=parts.version,
        model=parts.model.model,
    )


@router.get("/health/live")
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


@router.get("/health/ready")
async def ready(parts: Parts, response: Response) -> dict[str, Any]:
    """It takes questions: 200; else 503 with what is missing."""
    state = await readiness(parts)
    if not state.ready:
        response.status_code = 503
    return state.body
