"""Budgets: how many tokens a caller may use up on a day (UTC), and what they have used.

A user's use is kept in the database, and counts for all processes. An anonymous caller's counts by address, in this
process's memory alone: no address is kept.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from infrastructure.database.engine import Database
from infrastructure.errors import RateLimited
from infrastructure.providers.types import Usage
from services.storage_errors import as_storage_errors
from services.usage import UsageLog

MAX_CALLERS = 10_000  # whose use of today is held in memory; those who have not asked for longest leave first
LOOK_SECONDS = 10.0  # after which a user's sum is read again where other processes add to it too
USED_UP = "Today's tokens are used up. Ask again tomorrow."
_USER = "user:"


def counted_under(owner: str | None, address: str) -> str:
    """The name under which a caller's use counts: a signed-in user's, else an address's."""
    return address if owner is None else f"{_USER}{owner}"


@dataclass(frozen=True, slots=True)
class BudgetState:
    """`limit` and `left` None: there is no budget. `resets_at` is the next midnight, UTC."""

    limit: int | None
    used: int
    resets_at: datetime

    @property
    def left(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.used)


@dataclass(slots=True)
class _Known:
    """A caller's tokens of a day; `until`: when to read them anew (monotonic)."""

    day: date
    tokens: int
    until: float


class Budgets:
    """Turns callers away who have used up their day's tokens. `caller` is always as `counted_under` has it.

    A question is let in while anything is left, and its answer is counted when it is there: answers under way together
    may go beyond the budget.
    """

    def __init__(
        self, database: Database, clock: Callable[[], datetime], tokens_per_day: int | None,
        *, monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._usage = UsageLog(database, clock=clock)
        self._clock = clock
        self._limit = tokens_per_day
        self._alone = database.is_sqlite  # no other process adds to the table
        self._monotonic = monotonic
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def check(self, caller: str) -> None:
        """
        Raises:
            RateLimited: today's tokens are used up; `retry_after` is the seconds until midnight, UTC.
            StorageUnavailable: what was used cannot be read.
        """
        if self._limit is None:
            return
        if await self._tokens(caller) >= self._limit:
            now = self._clock().astimezone(UTC)
            raise RateLimited(USED_UP, retry_after=max(1.0, (_midnight(now) - now).total_seconds()))

    def note(self, caller: str, model: str, usage: Usage, questions: int = 1) -> None:
        """Count what a run has used. `questions` is 0 for what was made beside an answer."""
        self._usage.note(_user_of(caller), model, usage, questions)
        if self._limit is None:
            return
        known, today = self._known.get(caller), self._usage.today()
        if known is None or known.day != today:
            if _user_of(caller) is not None:
                return  # it is read when it is asked for
            known = self._keep(caller, _Known(today, 0, float("inf")))
        known.tokens += usage.prompt_tokens + usage.completion_tokens

    async def state(self, caller: str) -> BudgetState:
        """What a caller has used of today's budget, and what is left.

        Raises:
            StorageUnavailable: what was used cannot be read.
        """
        resets_at = _midnight(self._clock().astimezone(UTC))
        return BudgetState(self._limit, await self._tokens(caller), resets_at)

    async def flush(self) -> None:
        """Write what was noted, so that statistics have it."""
        await self._usage.flush()

    async def aclose(self) -> None:
        """Write what was noted: before the database is closed."""
        await self._usage.aclose()

    async def _tokens(self, caller: str) -> int:
        known = self._known.get(caller)
        if known is not None and known.day == self._usage.today() and known.until > self._monotonic():
            self._known.move_to_end(caller)
            return known.tokens
        user_id = _user_of(caller)
        if user_id is None:
            return 0
        with as_storage_errors():
            day, tokens = await self._usage.tokens(user_id)
        until = float("inf") if self._alone else self._monotonic() + LOOK_SECONDS
        return self._keep(caller, _Known(day, tokens, until)).tokens

    def _keep(self, caller: str, known: _Known) -> _Known:
        self._known[caller] = known
        self._known.move_to_end(caller)
        if len(self._known) > MAX_CALLERS:
            self._known.popitem(last=False)
        return known


def _user_of(caller: str) -> str | None:
    return caller.removeprefix(_USER) if caller.startswith(_USER) else None


def _midnight(now: datetime) -> datetime:
    return datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
