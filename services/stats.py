"""Statistics: what a user has and used, and what all have and used. Every figure is counted when it is asked for."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from infrastructure.database.engine import Database
from infrastructure.database.repositories.usage import DayOfModel, TotalsRepository, UsageRepository
from services.budgets import Budgets, BudgetState, counted_under

__all__ = ["DAYS", "BudgetState", "DayOfModel", "Stats", "SystemStats", "UserStats"]

DAYS = 30  # that are told of, today among them
RUN_HOURS = 24
SYSTEM_SECONDS = 10.0  # that the figures of all are told again before they are counted anew
UNDER_WAY = "running"


@dataclass(frozen=True, slots=True)
class UserStats:
    """Of one user. `days`: oldest first, a day and model on which nothing was used is left out."""

    since: date
    days: Sequence[DayOfModel]
    chats: int
    files: int
    budget: BudgetState


@dataclass(frozen=True, slots=True)
class SystemStats:
    """Of all. `runs`: how the runs of chats that began in the last 24 hours ended, `running` those under way."""

    since: date
    days: Sequence[DayOfModel]
    users: int
    chats: int
    messages: int
    files: int
    runs: dict[str, int]
    counted_at: datetime


class Stats:
    """Counts, by queries that look into indexes. The figures of all are counted at most every few seconds."""

    def __init__(
        self, database: Database, budgets: Budgets, *, clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._database = database
        self._budgets = budgets
        self._clock = clock
        self._monotonic = monotonic
        self._system: tuple[float, SystemStats] | None = None
        self._counting = asyncio.Lock()

    async def of_user(self, user_id: str) -> UserStats:
        await self._budgets.flush()
        since = self._since()
        async with self._database.read() as session:
            days = await UsageRepository(session).of_user(user_id, since)
            totals = TotalsRepository(session)
            chats, _ = await totals.chats(user_id)
            files = await totals.files(user_id)
        return UserStats(since, days, chats, files, await self._budgets.state(counted_under(user_id, "")))

    async def of_all(self) -> SystemStats:
        async with self._counting:  # who comes meanwhile is told the same
            if self._system is None or self._system[0] <= self._monotonic():
                found = await self._count()
                self._system = (self._monotonic() + SYSTEM_SECONDS, found)
            return self._system[1]

    async def _count(self) -> SystemStats:
        await self._budgets.flush()
        since, now = self._since(), self._clock()
        async with self._database.read() as session:
            days = await UsageRepository(session).of_all(since)
            totals = TotalsRepository(session)
            users, (chats, messages), files = await totals.users(), await totals.chats(), await totals.files()
            runs = await totals.runs_by_outcome(first_id_at(now - timedelta(hours=RUN_HOURS)))
        ended = {outcome or UNDER_WAY: count for outcome, count in runs}
        return SystemStats(since, days, users, chats, messages, files, ended, now)

    def _since(self) -> date:
        return self._clock().astimezone(UTC).date() - timedelta(days=DAYS - 1)


def first_id_at(moment: datetime) -> str:
    """The lowest UUID version 7 that can have been made at `moment`: its first 48 bits are Unix milliseconds
    (RFC 9562, section 5.7)."""
    return str(UUID(int=int(moment.timestamp() * 1000) << 80))
