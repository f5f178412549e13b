"""Queries of API keys. Nothing here commits: that is the unit of work's, around it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.models import ApiKey, User


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key without what it is checked by."""

    id: str
    name: str
    prefix: str
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """What a key is checked by, and whose it is."""

    key_id: str
    digest: str
    last_used_at: datetime | None
    user_id: str
    is_admin: bool


class ApiKeysRepository:
    """The API keys as one session sees them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, values: Mapping[str, Any]) -> None:
        await self._session.execute(insert(ApiKey).values(**values))

    async def of_user(self, user_id: str) -> list[KeyInfo]:
        """A user's keys, oldest first."""
        columns = (ApiKey.id, ApiKey.name, ApiKey.prefix, ApiKey.created_at, ApiKey.last_used_at)
        rows = await self._session.execute(select(*columns).where(ApiKey.user_id == user_id).order_by(ApiKey.id))
        return [KeyInfo(*row) for row in rows]

    async def count(self, user_id: str) -> int:
        query = select(func.count()).select_from(ApiKey).where(ApiKey.user_id == user_id)
        return (await self._session.execute(query)).scalar_one()

    async def owner(self, prefix: str) -> KeyOwner | None:
        """The key with that prefix, if its user is active."""
        columns = (ApiKey.id, ApiKey.digest, ApiKey.last_used_at, User.id, User.is_admin)
        query = select(*columns).join(User).where(ApiKey.prefix == prefix, User.is_active)
        row = (await self._session.execute(query)).one_or_none()
        return None if row is None else KeyOwner(*row)

    async def used(self, key_id: str, now: datetime, before: datetime) -> None:
        """Note that a key is used now, unless that was noted after `before`."""
        stale = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at <= before)
        await self._session.execute(update(ApiKey).where(ApiKey.id == key_id, stale).values(last_used_at=now))

    async def living(self, key_ids: Sequence[str]) -> set[str]:
        """Those of the keys that exist and are an active user's."""
        query = select(ApiKey.id).join(User).where(ApiKey.id.in_(key_ids), User.is_active)
        return set((await self._session.execute(query)).scalars())

    async def remove(self, user_id: str, key_id: str) -> bool:
        """Remove a user's key; False where the user has no such key."""
        query = delete(ApiKey).where(ApiKey.id == key_id, ApiKey.user_id == user_id).returning(ApiKey.id)
        return (await self._session.execute(query)).first() is not None
