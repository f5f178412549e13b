"""Passwords: hashed by Argon2id, two at a time, so that many logins at once cannot eat the machine."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from infrastructure.errors import RateLimited

AT_ONCE = 2  # each takes 64 MiB and about 50 ms by the library's defaults (RFC 9106, second recommended option)
MAX_WAITING = 256  # some seconds' work; who comes after is told to come later


class Passwords:
    """Passwords are taken as they are: no normalisation, no truncation."""

    def __init__(self, hasher: PasswordHash | None = None) -> None:
        self._hasher = hasher or PasswordHash((Argon2Hasher(),))
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        """In the PHC string format.

        Raises:
            RateLimited: too many are waiting.
        """
        async with self._slot():
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(
        self, password: str, known: str | None, permit: Callable[[], Awaitable[None]] | None = None
    ) -> tuple[bool, str | None]:
        """Whether `password` is the one that `known` was made of, and a new hash if `known` is of older parameters.

        Where there is no such user (`known` None) the answer is no and takes as long.

        Args:
            permit: awaited when the turn comes, before the work; what it raises comes through.

        Raises:
            RateLimited: too many are waiting.
        """
        async with self._slot():
            if permit is not None:
                await permit()
            return await asyncio.to_thread(self._verify, password, known)

    def _verify(self, password: str, known: str | None) -> tuple[bool, str | None]:
        if self._nobodys is None:  # whoever comes first pays for it, known or not
            self._nobodys = self._hasher.hash(secrets.token_urlsafe(32))
        same, newer = self._hasher.verify_and_update(password, known or self._nobodys)
        return same and known is not None, newer

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        if self._waiting >= MAX_WAITING:
            raise RateLimited("Too many are signing in at once.", retry_after=2.0)
        self._waiting += 1
        try:
            async with self._slots:
                yield
        finally:
            self._waiting -= 1
