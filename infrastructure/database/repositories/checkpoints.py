"""Runs that wait for a person, as one session sees them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.models import RunCheckpoint


@dataclass(frozen=True, slots=True)
class WaitingRun:
    """A run that was taken up. `fence` is what tells its frames from those of the process that had it before."""

    run_id: str
    state: bytes
    expires_at: datetime
    fence: int = 1


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

    async def state(self, run_id: str) -> bytes | None:
        query = select(RunCheckpoint.state).where(RunCheckpoint.run_id == run_id)
        state: bytes | None = (await self._session.execute(query)).scalar_one_or_none()
        return state

    async def _changed(self, query: Any) -> int:
        return cast(CursorResult[Any], await self._session.execute(query)).rowcount
