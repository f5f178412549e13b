"""Queries of who takes in the knowledge folder. Nothing here commits. Times are the server's: hosts' clocks differ."""

from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.models.knowledge import FolderKeeper

_FOLDER = "knowledge"


class KeeperRow(NamedTuple):
    """Who keeps the folder, whether it was ever looked at, how many wanted it read anew, how many were served."""

    keeper: str | None = None
    looked: bool = False
    asked: int = 0
    done: int = 0


class FolderKeeperRepository:
    """The one row there is, as one session on PostgreSQL sees it."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def row(self) -> KeeperRow:
        columns = FolderKeeper.keeper, FolderKeeper.looked, FolderKeeper.asked, FolderKeeper.done
        found = (await self._session.execute(select(*columns).where(FolderKeeper.folder == _FOLDER))).one_or_none()
        return KeeperRow(*found) if found else KeeperRow()

    async def take(self, keeper: str, seconds: float) -> bool:
        """Make `keeper` the one, for so long from now, if it is already, or nobody is, or who was is silent."""
        until: Any = func.now() + timedelta(seconds=seconds)
        first = {"folder": _FOLDER, "keeper": keeper, "until": until, "looked": False, "asked": 0, "done": 0}
        free = or_(FolderKeeper.keeper == keeper, FolderKeeper.keeper.is_(None), FolderKeeper.until < func.now())
        query = (
            postgresql.insert(FolderKeeper)
            .values(**first)
            .on_conflict_do_update(index_elements=["folder"], set_={"keeper": keeper, "until": until}, where=free)
            .returning(FolderKeeper.folder)
        )
        return (await self._session.execute(query)).one_or_none() is not None

    async def hold(self, keeper: str, seconds: float) -> bool:
        """Extend the time of `keeper`; False when it is another's by now. Nobody takes it before the transaction
        ends."""
        return await self._change(keeper, until=func.now() + timedelta(seconds=seconds))

    async def leave(self, keeper: str) -> None:
        await self._change(keeper, keeper=None, until=None)

    async def note_look(self, keeper: str, done: int) -> None:
        """The folder was looked at to the end, and those who had asked by `done` are served."""
        await self._change(keeper, looked=True, done=done)

    async def ask(self) -> None:
        """Somebody wants the folder read anew."""
        await self._session.execute(
            update(FolderKeeper).where(FolderKeeper.folder == _FOLDER).values(asked=FolderKeeper.asked + 1)
        )

    async def _change(self, whose: str, **values: Any) -> bool:
        mine = FolderKeeper.folder == _FOLDER, FolderKeeper.keeper == whose
        changed = update(FolderKeeper).where(*mine).values(**values).returning(FolderKeeper.folder)
        return (await self._session.execute(changed)).one_or_none() is not None
