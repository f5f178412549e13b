"""Accounts: who somebody is, by a password, an access token or an API key."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from infrastructure.database.engine import Database
from infrastructure.database.repositories.accounts import Account, AccountsRepository, Secret
from infrastructure.database.repositories.api_keys import ApiKeysRepository
from infrastructure.database.repositories.logins import LoginsRepository
from infrastructure.errors import Forbidden, Unauthorized
from services.api_keys import KEY_START, ApiKeys
from services.login_limit import LoginLimit
from services.logins import REFUSED, Grant, Logins
from services.passwords import Passwords
from services.principals import Principal
from services.revocations import OnRevoked, Revocations, key_name, login_name
from services.tokens import TokenSigner, not_valid
from services.usernames import username_key
from services.users import NewUser, add_user


class Accounts:
    """`keys` has the API keys.

    Args:
        refresh_days: how long a refresh token is good.
        limit: how often a login may fail; by default as `LoginLimit` has it.
    """

    def __init__(
        self, database: Database, passwords: Passwords, tokens: TokenSigner, *,
        clock: Callable[[], datetime], refresh_days: float, limit: LoginLimit | None = None,
    ) -> None:  # fmt: skip
        self._database = database
        self._passwords = passwords
        self._clock = clock
        self._limit = limit or LoginLimit()
        self._revocations = Revocations()
        self._logins = Logins(database, tokens, self._revocations, clock=clock, refresh_days=refresh_days)
        self.keys = ApiKeys(database, self._revocations, clock=clock)

    def listen(self, revoked: OnRevoked) -> None:
        """Have `revoked` called with the name of each credential that ends in this process: by logout, a token shown
        twice, a key or an account deleted, a password changed. It is called after the commit, and must not raise.
        """
        self._revocations.listen(revoked)

    async def authenticate(self, presented: str) -> Principal:
        """Who shows this access token or API key.

        Raises:
            Unauthorized: it will not do, for whatever reason.
        """
        if presented.startswith(KEY_START):
            return await self.keys.authenticate(presented)
        return await self._logins.authenticate(presented)

    async def still_valid(self, credentials: Sequence[str]) -> set[str]:
        """Those of the names of credentials (`Principal.credential`) that still hold."""
        named = [credential.partition(":") for credential in credentials]
        families = [name for kind, _, name in named if kind == "login"]
        keys = [name for kind, _, name in named if kind == "key"]
        holding = set(map(login_name, await self._logins.living(families))) if families else set()
        return holding | set(map(key_name, await self.keys.living(keys))) if keys else holding

    async def register(self, new: NewUser) -> Account:
        """
        Raises:
            Conflict: the user name or the address is taken.
            RateLimited: too many passwords are being hashed.
        """
        return await add_user(self._database, self._passwords, new, self._clock())

    async def account(self, user_id: str) -> Account:
        """
        Raises:
            Unauthorized: there is no such user any more.
        """
        async with self._database.read() as session:
            account = await AccountsRepository(session).account(user_id)
        if account is None:
            raise not_valid()
        return account

    async def login(self, username: str, password: str, address: str) -> Grant:
        """Begin a login; `address` is the caller's.

        Raises:
            Unauthorized: no such user, wrong password, or a user who may not sign in: all the same.
            RateLimited: too many failures of this address or name, or too many logins at once.
        """
        key = username_key(username)
        await self._limit.require(address, key)
        async with self._database.read() as session:
            secret = await AccountsRepository(session).secret_by_name(key)
        newer = await self._prove(secret, password, address, key)
        assert secret is not None  # noqa: S101  nobody's password was never proved
        return await self._logins.start(secret, newer)

    async def refresh(self, refresh_token: str) -> Grant:
        """Exchange a refresh token for the next pair.

        Raises:
            Unauthorized: it will not do; shown for the second time, its login ends.
        """
        return await self._logins.refresh(refresh_token)

    async def logout(self, caller: Principal, refresh_token: str | None = None) -> None:
        """End the login of the caller's access token, and that of a refresh token. An unknown one changes nothing.

        Raises:
            Unauthorized: an anonymous caller without a refresh token.
            Forbidden: an API key without a refresh token: it is no login.
        """
        kind, _, family = (caller.credential or "").partition(":")
        if refresh_token is not None:
            await self._logins.end_by_token(refresh_token)
        elif caller.user_id is None:
            raise Unauthorized("Sign in first.")
        elif kind != "login":
            raise Forbidden("An API key does not log out. Delete it instead.")
        if caller.user_id is not None and kind == "login":
            await self._logins.end(caller.user_id, family)

    async def change_password(self, caller: Principal, old: str, new: str, address: str) -> None:
        """Change the caller's password, and end all their logins but the one that asks.

        Raises:
            Unauthorized: the old password is wrong, or there is no such user any more.
            RateLimited: too many failures of this address or user, or too many passwords at once.
        """
        user_id = caller.user_id
        if user_id is None:
            raise Unauthorized("Sign in first.")
        await self._limit.require(address, user_id)
        async with self._database.read() as session:
            secret = await AccountsRepository(session).secret(user_id)
        await self._prove(secret, old, address, user_id)
        hashed = await self._passwords.hash(new)
        kind, _, family = (caller.credential or "").partition(":")
        async with self._database.write() as session:
            accounts = AccountsRepository(session)
            if await accounts.lock(user_id) != secret:
                raise Unauthorized(REFUSED)
            await accounts.set_password(user_id, hashed, self._clock())
            but = family if kind == "login" else None
            ended = await LoginsRepository(session).end(user_id, self._clock(), but=but)
        self._logins.tell(ended)

    async def delete(self, user_id: str) -> None:
        """Delete the account and all that hangs on it: logins, keys, chats.

        Raises:
            Unauthorized: there is no such user any more.
        """
        async with self._database.write() as session:
            accounts = AccountsRepository(session)
            if await accounts.lock(user_id) is None:
                raise not_valid()
            ended = await LoginsRepository(session).end(user_id, self._clock())
            keys = await ApiKeysRepository(session).of_user(user_id)
            await accounts.remove(user_id)
        self._logins.tell(ended)
        self._revocations.tell(key_name(key.id) for key in keys)

    async def expire(self) -> int:
        """Forget the refresh tokens that have expired; how many there were."""
        return await self._logins.expire()

    async def close(self) -> None:
        """Returns when nothing of it uses the database any more."""
        await self.keys.settled()

    async def _prove(self, secret: Secret | None, password: str, address: str, name: str) -> str | None:
        """A newer hash of the password, if there should be one.

        Raises:
            Unauthorized: the password is wrong, or there is nobody who may sign in with it. It is counted.
            RateLimited: too many failures, among them those of logins that stood in line before this one.
        """
        permit = partial(self._limit.require, address, name)
        known = None if secret is None else secret.password_hash
        same, newer = await self._passwords.verify(password, known, permit)
        if secret is None or not same or not secret.is_active:
            await self._limit.failed(address, name)
            raise Unauthorized(REFUSED)
        return newer
