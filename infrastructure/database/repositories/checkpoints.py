"""Runs that wait for a person, as one session sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.models import RunCheckpoint


@dataclass(frozen=True, slots=True)
class WaitingRun:
    run_id: str
    state: bytes
    expires_at: datetime


class CheckpointRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, run_id: str, state: bytes, expires_at: datetime) -> None:
        self._session.add(RunCheckpoint(run_id=run_id, state=state, released=False, expires_at=expires_at))
        await self._session.flush()

    async def delete(self, run_id: str) -> bool:
        """Whether there was one: of several that delete it, one is told so."""
        return bool(await self._changed(delete(RunCheckpoint).where(RunCheckpoint.run_id == run_id)))

    async def release(self, run_id: str) -> None:
        await self._changed(update(RunCheckpoint).where(RunCheckpoint.run_id == run_id).values(released=True))

    async def take(self, run_id: str, *, released_only: bool) -> bool:
        """Take up a run that nobody has; whether it was still to be had."""
        query = update(RunCheckpoint).where(RunCheckpoint.run_id == run_id).values(released=False)
        if released_only:
            query = query.where(RunCheckpoint.released)
        return bool(await self._changed(query))

    async def waiting(self, *, released_only: bool, limit: int) -> Sequence[WaitingRun]:
        """Those to be taken up, the oldest first."""
        query = select(RunCheckpoint.run_id, RunCheckpoint.state, RunCheckpoint.expires_at).order_by(
            RunCheckpoint.run_id
        )
        if released_only:
            query = query.where(RunCheckpoint.released)
        return [WaitingRun(*row) for row in await self._session.execute(query.limit(limit))]

    async def _changed(self, query: Any) -> int:
        return cast(CursorResult[Any], await self._session.execute(query)).rowcount
