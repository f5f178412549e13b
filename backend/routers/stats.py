"""Statistics: what you have and have used; for admins, what all have and have used."""

from fastapi import APIRouter

from backend.dependencies import Admin, Parts, UserId
from backend.schemas.ask import error_responses
from backend.schemas.stats import SystemStatsBody, UserStatsBody, system_stats, user_stats

router = APIRouter(prefix="/api/v1/stats", tags=["statistics"], responses=error_responses(401, 429))


@router.get("/user")
async def stats_of_user(parts: Parts, user_id: UserId) -> UserStatsBody:
    """Your questions and tokens of the last 30 days, your chats and files, and what is left of today's budget."""
    return user_stats(await parts.stats.of_user(user_id))


@router.get("/system", dependencies=[Admin], responses=error_responses(403))
async def stats_of_system(parts: Parts) -> SystemStatsBody:
    """What all have and have used, counted at most 10 seconds ago."""
    return system_stats(await parts.stats.of_all())
