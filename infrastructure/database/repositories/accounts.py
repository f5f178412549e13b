"""Queries of users. Nothing here commits: that is the unit of work's, around it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.models import User


@dataclass(frozen=True, slots=True)
class Account:
    """A user, without what the password is checked by."""

    id: str
    username: str
    email: str
    fullname: str | None
    is_active: bool
    is_admin: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Secret:
    """What a user's password is checked by."""

    user_id: str
    password_hash: str
    is_active: bool


_ACCOUNT = (User.id, User.username, User.email, User.fullname, User.is_active, User.is_admin, User.created_at)
_SECRET = (User.id, User.password_hash, User.is_active)


class AccountsRepository:
    """The users as one session sees them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, values: Mapping[str, Any]) -> None:
        """Add a user.

        Raises:
            IntegrityError: the user name or the address is taken.
        """
        await self._session.execute(insert(User).values(**values))

    async def account(self, user_id: str) -> Account | None:
        row = (await self._session.execute(select(*_ACCOUNT).where(User.id == user_id))).one_or_none()
        return None if row is None else Account(*row)

    async def secret_by_name(self, username_key: str) -> Secret | None:
        row = (await self._session.execute(select(*_SECRET).where(User.username_key == username_key))).one_or_none()
        return None if row is None else Secret(*row)

    async def secret(self, user_id: str) -> Secret | None:
        row = (await self._session.execute(select(*_SECRET).where(User.id == user_id))).one_or_none()
        return None if row is None else Secret(*row)

    async def lock(self, user_id: str) -> Secret | None:
        """The user, held to the end of the transaction: what changes a user's credentials takes turns by this.

        Without it, a token that is rotated while its family ends would leave a successor that nobody ended.
        """
        query = select(*_SECRET).where(User.id == user_id).with_for_update()
        row = (await self._session.execute(query)).one_or_none()
        return None if row is None else Secret(*row)

    async def set_password(self, user_id: str, password_hash: str, now: datetime) -> None:
        values = {"password_hash": password_hash, "updated_at": now}
        await self._session.execute(update(User).where(User.id == user_id).values(**values))

    async def remove(self, user_id: str) -> None:
        """Remove a user with all that hangs on it: keys, logins, chats."""
        await self._session.execute(delete(User).where(User.id == user_id))
