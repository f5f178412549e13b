"""Logins: a short-lived access token, and a refresh token that is exchanged for the next pair.

The refresh tokens that follow each other are a family, named in the access tokens as well. A refresh token that is
shown twice was stolen, from its owner or by its owner's own mistake: the family ends, and all its tokens with it
(RFC 9700, section 4.14.2).
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import structlog

from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from infrastructure.database.repositories.accounts import AccountsRepository, Secret
from infrastructure.database.repositories.logins import LoginsRepository
from infrastructure.errors import Unauthorized
from services.principals import Principal
from services.revocations import Revocations, login_name
from services.tokens import TokenSigner, not_valid

log = structlog.get_logger()
REFUSED = "Wrong user name or password."


@dataclass(frozen=True, slots=True)
class Grant:
    """What a login gets; `expires_in` is the access token's, in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int


class Logins:
    def __init__(
        self, database: Database, tokens: TokenSigner, revocations: Revocations, *,
        clock: Callable[[], datetime], refresh_days: float,
    ) -> None:  # fmt: skip
        self._database = database
        self._tokens = tokens
        self._revocations = revocations
        self._clock = clock
        self._life = timedelta(days=refresh_days)

    async def start(self, proved: Secret, newer_hash: str | None) -> Grant:
        """Begin a login of the user whose password was just proved; keep the newer hash of it, if there is one.

        Raises:
            Unauthorized: the password was changed, or the user is gone, since it was proved.
        """
        family, token = new_id(), secrets.token_urlsafe(32)
        async with self._database.write() as session:
            accounts = AccountsRepository(session)
            if await accounts.lock(proved.user_id) != proved:
                raise Unauthorized(REFUSED)
            if newer_hash is not None:
                await accounts.set_password(proved.user_id, newer_hash, self._clock())
            await LoginsRepository(session).add(self._row(proved.user_id, family, token))
        return self._grant(proved.user_id, family, token)

    async def refresh(self, shown: str) -> Grant:
        """Exchange a refresh token for the next pair.

        Raises:
            Unauthorized: it is unknown, expired, ended or was used before; used before, its family ends.
        """
        user_id, family = await self._find(shown) or (None, None)
        if user_id is None or family is None:
            raise not_valid()
        token = secrets.token_urlsafe(32)
        async with self._database.write() as session:
            secret = await AccountsRepository(session).lock(user_id)
            if secret is None or not secret.is_active:
                raise not_valid()
            logins = LoginsRepository(session)
            rotated = await logins.use(_digest(shown), self._clock())
            ended: Sequence[str] = ()
            if rotated:
                await logins.add(self._row(user_id, family, token))
            else:
                ended = await logins.end(user_id, self._clock(), family=family)
        if rotated:
            return self._grant(user_id, family, token)
        if ended:
            log.warning("a refresh token was shown twice, its login is ended", user_id=user_id)
            self.tell(ended)
        raise not_valid()

    async def authenticate(self, token: str) -> Principal:
        """
        Raises:
            Unauthorized: the token, its user or its family is no more, or never was.
        """
        claims = self._tokens.read(token)
        async with self._database.read() as session:
            is_admin = await LoginsRepository(session).is_admin(claims.user_id, claims.family_id, self._clock())
        if is_admin is None:
            raise not_valid()
        return Principal(claims.user_id, is_admin, login_name(claims.family_id), claims.expires_at)

    async def end(self, user_id: str, family: str) -> None:
        """End one login, if it is alive."""
        async with self._database.write() as session:
            await AccountsRepository(session).lock(user_id)
            ended = await LoginsRepository(session).end(user_id, self._clock(), family=family)
        self.tell(ended)

    async def end_by_token(self, shown: str) -> None:
        """End the login of a refresh token; one that is unknown changes nothing."""
        found = await self._find(shown)
        if found is not None:
            await self.end(*found)

    async def living(self, families: Sequence[str]) -> set[str]:
        """Those of the families that are alive."""
        async with self._database.read() as session:
            return await LoginsRepository(session).living(families, self._clock())

    async def expire(self) -> int:
        """Forget the refresh tokens that have expired; how many there were."""
        async with self._database.write() as session:
            return await LoginsRepository(session).expire(self._clock())

    def tell(self, families: Sequence[str]) -> None:
        """Tell the listeners which families have ended."""
        self._revocations.tell(map(login_name, families))

    async def _find(self, shown: str) -> tuple[str, str] | None:
        async with self._database.read() as session:
            return await LoginsRepository(session).find(_digest(shown))

    def _row(self, user_id: str, family: str, token: str) -> dict[str, Any]:
        now = self._clock()
        return {
            "id": new_id(), "user_id": user_id, "family_id": family, "digest": _digest(token),
            "created_at": now, "expires_at": now + self._life,
        }  # fmt: skip

    def _grant(self, user_id: str, family: str, token: str) -> Grant:
        return Grant(self._tokens.sign(user_id, family), token, self._tokens.expires_in)


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()
