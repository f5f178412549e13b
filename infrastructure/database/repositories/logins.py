"""Queries of logins: the refresh tokens, in families. Nothing here commits: that is the unit of work's, around it.

A family is alive while it has a token that was not ended and has not expired.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, and_, delete, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.models import RefreshToken, User


def _alive(now: datetime) -> ColumnElement[bool]:
    return and_(RefreshToken.ended_at.is_(None), RefreshToken.expires_at > now)


class LoginsRepository:
    """The refresh tokens as one session sees them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, values: Mapping[str, Any]) -> None:
        await self._session.execute(insert(RefreshToken).values(**values))

    async def find(self, digest: str) -> tuple[str, str] | None:
        """`(user id, family id)` of a token in whatever state."""
        query = select(RefreshToken.user_id, RefreshToken.family_id).where(RefreshToken.digest == digest)
        row = (await self._session.execute(query)).one_or_none()
        return None if row is None else (row[0], row[1])

    async def use(self, digest: str, now: datetime) -> bool:
        """Mark a token as used; False when it is used, ended or expired already."""
        query = update(RefreshToken).where(RefreshToken.digest == digest, RefreshToken.used_at.is_(None), _alive(now))
        return (await self._session.execute(query.values(used_at=now).returning(RefreshToken.id))).first() is not None

    async def end(
        self, user_id: str, now: datetime, *, family: str | None = None, but: str | None = None
    ) -> Sequence[str]:
        """End the living families of a user: all, or only `family`, or all but `but`; their ids.

        The caller holds the user's lock (`AccountsRepository.lock`).
        """
        query = update(RefreshToken).where(RefreshToken.user_id == user_id, _alive(now))
        if family is not None:
            query = query.where(RefreshToken.family_id == family)
        if but is not None:
            query = query.where(RefreshToken.family_id != but)
        ended = await self._session.execute(query.values(ended_at=now).returning(RefreshToken.family_id))
        return sorted(set(ended.scalars()))

    async def is_admin(self, user_id: str, family_id: str, now: datetime) -> bool | None:
        """Whether the active user of a living family is an admin; None where there is no such user or family."""
        family = exists().where(
            RefreshToken.family_id == family_id, RefreshToken.user_id == User.id, _alive(now)
        )  # fmt: skip
        query = select(User.is_admin).where(User.id == user_id, User.is_active, family)
        return (await self._session.execute(query)).scalar_one_or_none()

    async def living(self, family_ids: Sequence[str], now: datetime) -> set[str]:
        """Those of the families that are alive and an active user's."""
        query = select(RefreshToken.family_id).join(User).where(RefreshToken.family_id.in_(family_ids), _alive(now))
        return set((await self._session.execute(query.where(User.is_active))).scalars())

    async def expire(self, now: datetime) -> int:
        """Delete the tokens that have expired; how many there were."""
        done = await self._session.execute(delete(RefreshToken).where(RefreshToken.expires_at <= now))
        return cast("CursorResult[Any]", done).rowcount
