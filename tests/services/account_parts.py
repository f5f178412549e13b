"""The parts of the accounts for tests: real ones, with a cheap hash and a clock that is set by hand."""

from datetime import UTC, datetime, timedelta

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from infrastructure.database.engine import Database
from infrastructure.database.repositories.accounts import Account
from infrastructure.errors import Unauthorized
from services.accounts import Accounts
from services.login_limit import LoginLimit
from services.passwords import Passwords
from services.tokens import TokenSigner
from services.users import NewUser

SECRET = "a secret for tests, of more than 64 characters, so that all three will do"
PASSWORD = "correct horse battery staple"
ADDRESS = "192.0.2.1"


def cheap_hash(rounds: int = 1) -> PasswordHash:
    return PasswordHash((Argon2Hasher(time_cost=rounds, memory_cost=64, parallelism=1),))


class Clock:
    """Stands still until it is moved. Access tokens are checked against the real time besides."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


class CountingHash(PasswordHash):
    """Counts what is verified and what is hashed."""

    def __init__(self) -> None:
        super().__init__(cheap_hash().hashers)
        self.verified = 0
        self.hashed = 0

    def verify_and_update(self, password: str | bytes, hash: str | bytes) -> tuple[bool, str | None]:
        self.verified += 1
        return super().verify_and_update(password, hash)

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.hashed += 1
        return super().hash(password, salt=salt)


class Setup:
    """Accounts over a database, and what they told of credentials that ended."""

    def __init__(self, database: Database, hasher: PasswordHash | None = None, **limits: int) -> None:
        self.clock = Clock()
        self.database = database
        self.tokens = TokenSigner(SECRET, "HS256", 30, clock=self.clock)
        self.accounts = Accounts(
            database, Passwords(hasher or cheap_hash()), self.tokens, clock=self.clock, refresh_days=30,
            limit=LoginLimit(**limits),
        )  # fmt: skip
        self.ended: list[str] = []
        self.accounts.listen(self.ended.append)
        self.abandoned: list[str] = []  # users whose runs were to be stopped

    async def ada(self, username: str = "ada", password: str = PASSWORD) -> Account:
        return await self.accounts.register(NewUser(username, f"{username}@example.com", password))

    async def dead(self, *presented: str) -> None:
        """None of these tokens and keys lets anybody in."""
        for token in presented:
            with pytest.raises(Unauthorized, match=r"^This token is not valid.$"):
                await self.accounts.authenticate(token)
