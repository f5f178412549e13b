"""Queries of what answering uses, and of how much there is of everything."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.models import Chat, File, Run, UsageDay, User

ANONYMOUS = "anonymous"
"""Under which all callers without an account are counted together."""
_ROWS_A_STATEMENT = 100  # of seven values each: below SQLite's oldest limit of 999 variables
_COUNTED = ("prompt_tokens", "completion_tokens", "questions")


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one caller used of one model on one day. `user_id` None: anonymous callers, all together."""

    user_id: str | None
    day: date
    model: str
    prompt_tokens: int
    completion_tokens: int
    questions: int

    @property
    def caller(self) -> str:
        return self.user_id or ANONYMOUS


@dataclass(frozen=True, slots=True)
class DayOfModel:
    """What was used of a model on a day."""

    day: date
    model: str
    prompt_tokens: int
    completion_tokens: int
    questions: int


class UsageRepository:
    """What was used, as one session sees it."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, rows: Iterable[UsageRow]) -> None:
        """Count more. What a user used who is gone meanwhile is left out.

        Rows are taken in one order by every process: two that write the same ones would wait for each other else.
        """
        ordered = sorted(rows, key=lambda row: (row.caller, row.day, row.model))
        there = await self._living({row.user_id for row in ordered if row.user_id is not None})
        values = [_values(row) for row in ordered if row.user_id is None or row.user_id in there]
        insert_into: Any = sqlite.insert if self._session.get_bind().dialect.name == "sqlite" else postgresql.insert
        for at in range(0, len(values), _ROWS_A_STATEMENT):
            new = insert_into(UsageDay).values(values[at : at + _ROWS_A_STATEMENT])
            more = {name: getattr(UsageDay, name) + new.excluded[name] for name in _COUNTED}
            await self._session.execute(new.on_conflict_do_update(index_elements=["caller", "day", "model"], set_=more))

    async def tokens(self, user_id: str, day: date) -> int:
        """All tokens that a user used on a day."""
        used = func.coalesce(func.sum(UsageDay.prompt_tokens + UsageDay.completion_tokens), 0)
        query = select(used).where(UsageDay.caller == user_id, UsageDay.day == day)
        return int((await self._session.execute(query)).scalar_one())

    async def of_user(self, user_id: str, since: date) -> list[DayOfModel]:
        """What a user used on each day from `since` on, oldest first."""
        return await self._days(UsageDay.caller == user_id, UsageDay.day >= since)

    async def of_all(self, since: date) -> list[DayOfModel]:
        """What everybody used on each day from `since` on, oldest first."""
        return await self._days(UsageDay.day >= since)

    async def _days(self, *where: ColumnElement[bool]) -> list[DayOfModel]:
        sums = (func.sum(getattr(UsageDay, name)) for name in _COUNTED)
        query = (
            select(UsageDay.day, UsageDay.model, *sums)
            .where(*where)
            .group_by(UsageDay.day, UsageDay.model)
            .order_by(UsageDay.day, UsageDay.model)
        )
        return [DayOfModel(row[0], row[1], *map(int, row[2:])) for row in await self._session.execute(query)]

    async def _living(self, users: set[str]) -> set[str]:
        ids, there = sorted(users), set[str]()
        for at in range(0, len(ids), 500):
            query = select(User.id).where(User.id.in_(ids[at : at + 500])).order_by(User.id)
            there.update((await self._session.execute(query.with_for_update(read=True, key_share=True))).scalars())
        return there


class TotalsRepository:
    """How much there is, as one session sees it."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def users(self) -> int:
        return await self._count(select(func.count()).select_from(User))

    async def chats(self, user_id: str | None = None) -> tuple[int, int]:
        """A user's chats, or all, and the messages in them: those of the conversations as they stand."""
        query = select(func.count(), func.coalesce(func.sum(Chat.message_count), 0))
        row = (await self._session.execute(query if user_id is None else query.where(Chat.user_id == user_id))).one()
        return int(row[0]), int(row[1])

    async def files(self, user_id: str | None = None) -> int:
        query = select(func.count()).select_from(File)
        return await self._count(query if user_id is None else query.where(File.owner_id == user_id))

    async def runs_by_outcome(self, first_id: str) -> Sequence[tuple[str | None, int]]:
        """How runs ended (None: under way), of those with an id of `first_id` or later: ids are in order of time."""
        query = select(Run.outcome, func.count()).where(Run.id >= first_id).group_by(Run.outcome)
        return [(row[0], int(row[1])) for row in await self._session.execute(query)]

    async def _count(self, query: Any) -> int:
        return int((await self._session.execute(query)).scalar_one())


def _values(row: UsageRow) -> dict[str, Any]:
    return {"caller": row.caller, **{name: getattr(row, name) for name in ("user_id", "day", "model", *_COUNTED)}}
