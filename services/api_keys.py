"""API keys, `ask_` and 40 letters and digits: shown once, kept as a digest, found by their first twelve characters."""

import asyncio
import hmac
import secrets
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

import structlog
from sqlalchemy.exc import SQLAlchemyError

from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from infrastructure.database.repositories.accounts import AccountsRepository
from infrastructure.database.repositories.api_keys import ApiKeysRepository, KeyInfo, KeyOwner
from infrastructure.errors import Conflict, NotFound
from services.principals import Principal
from services.revocations import Revocations, key_name
from services.tokens import not_valid

log = structlog.get_logger()
KEY_START = "ask_"
PREFIX_CHARS = 12  # with the start; 47 bits of chance, so that two keys do not share one
MAX_KEYS = 100  # a user's
_ALPHABET = string.ascii_letters + string.digits
_RANDOM_CHARS = 40  # 238 bits
_NOTE_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key as it is shown, this once."""

    id: str
    name: str
    key: str
    prefix: str
    created_at: datetime


class ApiKeys:
    def __init__(self, database: Database, revocations: Revocations, *, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._revocations = revocations
        self._clock = clock
        self._noting: dict[str, asyncio.Task[None]] = {}

    async def create(self, user_id: str, name: str) -> NewKey:
        """
        Raises:
            Unauthorized: there is no such user any more.
            Conflict: the user has as many keys as one may have.
        """
        key = KEY_START + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARS))
        new = NewKey(new_id(), name, key, key[:PREFIX_CHARS], self._clock())
        async with self._database.write() as session:
            keys = ApiKeysRepository(session)
            if await AccountsRepository(session).lock(user_id) is None:
                raise not_valid()
            if await keys.count(user_id) >= MAX_KEYS:
                raise Conflict(f"You have {MAX_KEYS} keys. Delete one first.")
            await keys.add(
                {"id": new.id, "user_id": user_id, "name": name, "prefix": new.prefix, "digest": _digest(key),
                 "created_at": new.created_at}
            )  # fmt: skip
        return new

    async def of_user(self, user_id: str) -> list[KeyInfo]:
        """A user's keys, oldest first."""
        async with self._database.read() as session:
            return await ApiKeysRepository(session).of_user(user_id)

    async def remove(self, user_id: str, key_id: str) -> None:
        """
        Raises:
            NotFound: the user has no such key.
        """
        async with self._database.write() as session:
            if not await ApiKeysRepository(session).remove(user_id, key_id):
                raise NotFound("No such API key.")
        self._revocations.tell([key_name(key_id)])

    async def authenticate(self, shown: str) -> Principal:
        """
        Raises:
            Unauthorized: no such key, or its user may not sign in.
        """
        if not shown.isascii():
            raise not_valid()
        async with self._database.read() as session:
            owner = await ApiKeysRepository(session).owner(shown[:PREFIX_CHARS])
        if owner is None or not hmac.compare_digest(_digest(shown), owner.digest):
            raise not_valid()
        self._note_use(owner)
        return Principal(owner.user_id, owner.is_admin, key_name(owner.key_id))

    async def living(self, key_ids: Sequence[str]) -> set[str]:
        """Those of the keys that still hold."""
        async with self._database.read() as session:
            return await ApiKeysRepository(session).living(key_ids)

    async def settled(self) -> None:
        """Returns when every use is noted: before the database is closed."""
        await asyncio.gather(*self._noting.values())

    def _note_use(self, owner: KeyOwner) -> None:
        """Note beside the request, which neither waits for it nor fails with it, that a key is used."""
        now = self._clock()
        recently = owner.last_used_at is not None and owner.last_used_at > now - _NOTE_EVERY
        if not recently and owner.key_id not in self._noting:
            task = asyncio.create_task(self._write_use(owner.key_id, now))
            self._noting[owner.key_id] = task
            task.add_done_callback(lambda _: self._noting.pop(owner.key_id))

    async def _write_use(self, key_id: str, now: datetime) -> None:
        try:
            async with self._database.write() as session:
                await ApiKeysRepository(session).used(key_id, now, now - _NOTE_EVERY)
        except (SQLAlchemyError, OSError) as error:  # the next use is noted again
            log.warning("the use of an API key could not be noted", error=type(error).__name__)


def _digest(key: str) -> str:
    return sha256(key.encode()).hexdigest()
