"""Answers to tool calls that wait for a person, over HTTP: for whoever reads a run by other ways than the WebSocket."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from backend.dependencies import Parts, Who
from backend.routers.strict_json import StrictJsonRoute
from backend.schemas.ask import error_responses
from backend.schemas.text import CleanText

router = APIRouter(tags=["ask"], route_class=StrictJsonRoute, responses=error_responses(401, 422, 429))


class Approval(BaseModel):
    call_id: Annotated[CleanText, Field(min_length=1, max_length=200)]
    approved: Annotated[bool, Field(strict=True)]


class ApprovalTaken(Approval):
    run_id: str


@router.post("/runs/{run_id}/approve", responses=error_responses(404))
async def approve(run_id: str, body: Approval, parts: Parts, who: Who) -> ApprovalTaken:
    """Let a call run that waits for it (`step` with `approval_required`), or have the model told that it may not."""
    await parts.runner.require(run_id, who.user_id)
    await parts.approvals.settle(run_id, body.call_id, body.approved)
    return ApprovalTaken(run_id=run_id, call_id=body.call_id, approved=body.approved)
