"""Workers' leases, and runs whose worker has died, as one session sees them.

On a server many processes share, times are the server's own: hosts' clocks differ. SQLite has one process, and its
clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Interval, bindparam, delete, exists, func, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from infrastructure.database.models import Chat, ChatMessage, Run, RunCheckpoint, UtcDateTime, Worker
from infrastructure.database.repositories.checkpoints import WaitingRun
from infrastructure.database.rows import Rows


def _is_dead(worker: Any, now: Any) -> ColumnElement[bool]:
    alive = exists().where(Worker.id == worker, Worker.expires_at >= now)
    return ~alive


_WAITS = exists().where(RunCheckpoint.run_id == Run.id)
_OTHERS = Run.worker != bindparam("worker")
_WAITING = exists().where(
    RunCheckpoint.run_id == Run.id, _OTHERS, or_(RunCheckpoint.released, _is_dead(Run.worker, func.now()))
)
_LOST = exists().where(Run.outcome.is_(None), _OTHERS, ~_WAITS, _is_dead(Run.worker, func.now()))
_LEFT: Any = select(_WAITING, _LOST)
_UNTIL: Mapping[str, Any] = {
    "postgresql": func.now() + bindparam("length", type_=Interval),
    "sqlite": bindparam("until", type_=UtcDateTime),
}
_BEAT = {
    kind: dialect.insert(Worker)
    .values(id=bindparam("id"), expires_at=_UNTIL[kind], apart=bindparam("apart"))
    .on_conflict_do_update(index_elements=["id"], set_={"expires_at": _UNTIL[kind], "apart": bindparam("apart")})
    for kind, dialect in (("postgresql", postgresql), ("sqlite", sqlite))
}
_FORGET = {
    "postgresql": delete(Worker).where(Worker.expires_at < func.now() - bindparam("silence", type_=Interval)),
    "sqlite": delete(Worker).where(Worker.expires_at < bindparam("limit", type_=UtcDateTime)),
}


async def what_is_left(rows: Rows, worker: str) -> tuple[bool, bool]:
    """Whether other workers have left runs that wait for a person, and runs that they were at. On a server: where there
    is one process all is left by others. Asked twice a second by each worker, and seldom anything but no."""
    [(waiting, lost)] = await rows.find(_LEFT, [{"worker": worker}])
    return waiting, lost


async def beat(rows: Rows, worker: str, seconds: float, apart: bool, *, now: datetime, forget: float) -> None:
    """Have `worker` alive for so long from now; `apart`: it shows frames that the others cannot have. Those who have
    been silent for `forget` seconds beyond their time are forgotten: to nobody they are more than gone."""
    length, silence = timedelta(seconds=seconds), timedelta(seconds=forget)
    alive = {"id": worker, "apart": apart, "length": length, "until": now + length}
    await rows.change(rows.pick(_BEAT), [alive])
    await rows.change(rows.pick(_FORGET), [{"silence": silence, "limit": now - silence}])


@dataclass(frozen=True, slots=True)
class LostRun:
    """A run that its worker left unfinished, now the asking worker's. `attempts` counts the one that is to come."""

    id: str
    chat_id: str
    owner: str | None
    agent_id: str | None  # the chat's
    titled: bool
    question: str
    message_id: str
    asked_at: int
    answer_id: str
    answer_position: int
    asked: Mapping[str, Any] | None
    started_at: datetime
    fence: int
    attempts: int
    apart: bool  # its worker showed frames that nobody else can have


class WorkerRepository:
    """`clock` is asked where the database has no clock of its own."""

    def __init__(self, session: AsyncSession, now: datetime) -> None:
        self._session = session
        self._server = session.get_bind().dialect.name == "postgresql"
        self._now: ColumnElement[datetime] = func.now() if self._server else literal(now, UtcDateTime)

    async def leave(self, worker: str) -> None:
        """What it has left is anybody's, at once. That it was begun here is not held against it."""
        mine = update(Run).where(Run.worker == worker, Run.outcome.is_(None)).values(attempts=Run.attempts - 1)
        await self._session.execute(mine.execution_options(synchronize_session=False))
        await self._session.execute(delete(Worker).where(Worker.id == worker))

    async def take_lost(self, worker: str, limit: int, *, alone: bool) -> list[LostRun]:
        """Make unfinished runs of dead workers `worker`'s own, the oldest first; those that wait for a person are not
        among them. With `alone` there is no other process, and every other worker is dead.
        """
        was_apart = select(Worker.apart).where(Worker.id == Run.worker).scalar_subquery()
        lost = select(Run.id, was_apart).where(Run.outcome.is_(None), Run.worker != worker, ~_WAITS)
        if not alone:
            lost = lost.where(_is_dead(Run.worker, self._now))
        lost = lost.order_by(Run.started_at).limit(limit)
        if self._server:
            lost = lost.with_for_update(skip_locked=True, of=Run)
        holders = await self._session.execute(lost)
        apart = {run_id: bool(was_apart) for run_id, was_apart in holders}
        if not apart:
            return []
        await self._own(list(apart), worker=worker, attempts=Run.attempts + 1)
        return await self._lost(apart)

    async def _own(self, runs: Any, **values: Any) -> Sequence[str]:
        """Change the holder of the runs that a query finds; which they were."""
        change = update(Run).where(Run.id.in_(runs)).values(fence=Run.fence + 1, **values).returning(Run.id)
        change = change.execution_options(synchronize_session=False)
        return (await self._session.execute(change)).scalars().all()

    async def _lost(self, apart: Mapping[str, bool]) -> list[LostRun]:
        question = aliased(ChatMessage)
        query = (
            select(
                Run.id, Run.chat_id, Chat.user_id, Chat.agent_id, Chat.title.is_not(None), question.content,
                Run.user_message_id, question.position, Run.answer_id, Run.answer_position, Run.asked, Run.started_at,
                Run.fence, Run.attempts,
            )
            .join(Chat, Chat.id == Run.chat_id)
            .join(question, question.id == Run.user_message_id)
            .where(Run.id.in_(list(apart)))
            .order_by(Run.chat_id, Run.answer_position)
        )  # fmt: skip
        return [LostRun(*[*row, apart[row[0]]]) for row in await self._session.execute(query)]

    async def take_waiting(self, worker: str, limit: int, *, alone: bool) -> list[WaitingRun]:
        """Make runs that wait for a person `worker`'s own, where their process has left them or is dead."""
        free = select(RunCheckpoint.run_id).join(Run, Run.id == RunCheckpoint.run_id).where(Run.worker != worker)
        if not alone:
            free = free.where(or_(RunCheckpoint.released, _is_dead(Run.worker, self._now)))
        free = free.order_by(RunCheckpoint.run_id).limit(limit)
        if self._server:
            free = free.with_for_update(skip_locked=True)
        ids = await self._own(free, worker=worker)
        return await self._hold(ids) if ids else []

    async def _hold(self, ids: Sequence[str]) -> list[WaitingRun]:
        held = update(RunCheckpoint).where(RunCheckpoint.run_id.in_(ids)).values(released=False)
        await self._session.execute(held.execution_options(synchronize_session=False))
        columns = (RunCheckpoint.run_id, RunCheckpoint.state, RunCheckpoint.expires_at, Run.fence)
        query = select(*columns).join(Run, Run.id == RunCheckpoint.run_id).where(RunCheckpoint.run_id.in_(ids))
        return [WaitingRun(*row) for row in await self._session.execute(query.order_by(RunCheckpoint.run_id))]
