"""Chats under the name of sessions, for an older client."""

from fastapi import APIRouter

from backend.dependencies import Parts, Who
from backend.schemas.aliases import SessionBody, session_body
from backend.schemas.ask import error_responses

router = APIRouter(prefix="/api/v1", tags=["older clients"], responses=error_responses(401, 429))
MOST = 100


@router.get("/sessions/")
@router.get("/sessions", include_in_schema=False)
async def list_sessions(parts: Parts, who: Who) -> list[SessionBody]:
    """Your 100 last used sessions, the latest first. For an anonymous caller there are none."""
    return [session_body(chat) for chat in (await parts.chats.page(who.user_id, 1, MOST)).items]
