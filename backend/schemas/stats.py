"""Bodies of the statistics."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from services.stats import DayOfModel, SystemStats, UserStats

_DAY: dict[str, Any] = {
    "day": "2026-01-05", "model": "gpt-4o-mini", "questions": 12, "prompt_tokens": 18_240, "completion_tokens": 2_310,
}  # fmt: skip
_USED: dict[str, Any] = {
    "since": "2025-12-07", "questions": 12, "prompt_tokens": 18_240, "completion_tokens": 2_310, "days": [_DAY],
}  # fmt: skip
_BUDGET: dict[str, Any] = {
    "tokens_per_day": 100_000, "used": 20_550, "left": 79_450, "resets_at": "2026-01-06T00:00:00Z",
}  # fmt: skip


class DayBody(BaseModel):
    """What was used of a model on a day (UTC)."""

    day: date
    model: str
    questions: int
    prompt_tokens: int
    completion_tokens: int


class BudgetBody(BaseModel):
    """Today's budget. `tokens_per_day` and `left` null: there is none."""

    tokens_per_day: int | None
    used: int
    left: int | None
    resets_at: datetime


class UsedBody(BaseModel):
    """What was used in the last 30 days, today among them: in all, and by day and model."""

    since: date
    questions: int
    prompt_tokens: int
    completion_tokens: int
    days: list[DayBody]


class UserStatsBody(UsedBody):
    """What you have and have used."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_USED, "chats": 4, "files": 2, "budget": _BUDGET}]})

    chats: int
    files: int
    budget: BudgetBody


class SystemStatsBody(UsedBody):
    """What all have and have used."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **_USED, "users": 3, "chats": 9, "messages": 48, "files": 5,
                    "runs": {"complete": 20, "cancelled": 1}, "counted_at": "2026-01-05T09:30:00Z",
                }
            ]
        }
    )  # fmt: skip

    users: int
    chats: int
    messages: int
    files: int
    runs: dict[str, int] = Field(
        description="How the runs of chats of the last 24 hours ended: their number by outcome."
    )
    counted_at: datetime


def user_stats(found: UserStats) -> UserStatsBody:
    budget = found.budget
    return UserStatsBody(
        **_used(found.since, found.days),
        chats=found.chats,
        files=found.files,
        budget=BudgetBody(tokens_per_day=budget.limit, used=budget.used, left=budget.left, resets_at=budget.resets_at),
    )


def system_stats(found: SystemStats) -> SystemStatsBody:
    names = ("users", "chats", "messages", "files", "runs", "counted_at")
    return SystemStatsBody(**_used(found.since, found.days), **{name: getattr(found, name) for name in names})


def _used(since: date, days: Sequence[DayOfModel]) -> dict[str, Any]:
    counted = ("questions", "prompt_tokens", "completion_tokens")
    sums = {name: sum(getattr(day, name) for day in days) for name in counted}
    bodies = [DayBody(day=day.day, model=day.model, **{name: getattr(day, name) for name in counted}) for day in days]
    return {"since": since, "days": bodies, **sums}
