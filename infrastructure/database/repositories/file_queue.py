"""Queries of the files that wait to be read, and of those being read. Nothing here commits.

A file that is `processing` belongs to a lease: a name made for this one claim, in `worker`. Whatever is written of the
file is written only as long as the lease is still its own (`hold`), so that a worker that was slow, and whose file was
taken over, can do no harm.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, Uuid, and_, case, func, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.models import File

NOBODY = "00000000-0000-0000-0000-000000000000"
"""Who owns the anonymous files, when owners take turns: they are one owner together."""

_OWNER: Any = func.coalesce(File.owner_id, literal(NOBODY, Uuid(as_uuid=False)))
_WAITING = File.status.in_(("uploaded", "processing"))  # spelt as in the partial index, which this can use
_COLUMNS = (
    File.id, File.owner_id, File.original_filename, File.mime_type, File.size_bytes, File.checksum, File.attempts,
    File.started_at, File.created_at,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClaimedFile:
    """A file as it was when it was claimed; `attempts` counts this one."""

    id: str
    owner_id: str | None
    name: str
    media_type: str
    size_bytes: int
    checksum: str
    attempts: int
    created_at: datetime
    lease: str


def _is_due(now: datetime) -> ColumnElement[bool]:
    return or_(
        and_(File.status == "uploaded", or_(File.retry_at.is_(None), File.retry_at <= now)),
        and_(File.status == "processing", or_(File.leased_until.is_(None), File.leased_until <= now)),
    )


class FileQueueRepository:
    """The files in line as one session sees them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def claim(self, lease: str, now: datetime, until: datetime, after: str = NOBODY) -> ClaimedFile | None:
        """Take the next file that is due, until `until`; None where there is none.

        Owners take turns: the next one in the order of ids after `after`, then from the beginning; of an owner the
        oldest file. Of two workers at once each gets another file.
        """
        query = (
            select(*_COLUMNS)
            .where(_WAITING, _is_due(now))
            .order_by(case((_OWNER.__gt__(after), 0), else_=1), _OWNER, File.created_at, File.id)
            .limit(1)
            .with_for_update(skip_locked=True, key_share=True)  # who only keeps it from deletion is no obstacle
        )
        row = (await self._session.execute(query)).one_or_none()
        if row is None:
            return None
        values = {
            "status": "processing", "stage": "reading", "chunks_processed": 0, "total_chunks_expected": None,
            "attempts": row.attempts + 1, "worker": lease, "leased_until": until, "retry_at": None,
            "started_at": row.started_at or now, "finished_at": None, "error_message": None, "updated_at": now,
        }  # fmt: skip
        await self._session.execute(update(File).where(File.id == row.id).values(**values))
        return ClaimedFile(
            row.id, row.owner_id, row.original_filename, row.mime_type, row.size_bytes, row.checksum, row.attempts + 1,
            row.created_at, lease,
        )  # fmt: skip

    async def hold(self, file_id: str, lease: str, **values: Any) -> bool:
        """Change a file that is the lease's; False, and nothing is changed, when it is not or no more. On PostgreSQL
        nobody else gets it before the transaction ends."""
        mine = (File.id == file_id, File.worker == lease, File.status == "processing")
        return await self._changed(update(File).where(*mine).values(**values)) == 1

    async def void_leases(self) -> int:
        """Let everything be due that is being read: whoever read it is gone. How many there were."""
        query = update(File).where(_WAITING, File.status == "processing").values(worker=None, leased_until=None)
        return await self._changed(query)

    async def living(self, leases: Collection[str]) -> set[str]:
        """Those of the leases that have their file still."""
        query = select(File.worker).where(_WAITING, File.status == "processing", File.worker.in_(leases))
        return {lease for lease in (await self._session.execute(query)).scalars() if lease}

    async def next_due(self, now: datetime) -> datetime | None:
        """When the next file is due, or is if its worker is not heard of; None when none is waiting."""
        due = case((File.status == "uploaded", func.coalesce(File.retry_at, now)), else_=File.leased_until)
        found: datetime | None = (await self._session.execute(select(func.min(due)).where(_WAITING))).scalar_one()
        return found

    async def _changed(self, query: Any) -> int:
        return cast("CursorResult[Any]", await self._session.execute(query)).rowcount
