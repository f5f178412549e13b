"""Clearing away: anonymous files that nobody uses, and what a crash or a lost disk has left in disorder."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import datetime, timedelta

from infrastructure.database.engine import Database
from infrastructure.database.repositories.files import FileRepository
from services.file_removal import Removal
from services.file_storage import FileStorage
from services.file_uploads import storage_key

LOST = "The file's bytes are lost. Upload it again."
UNTOUCHED = timedelta(hours=1)  # what is younger may belong to an upload under way
_PREFIX = storage_key("")
_IS_OURS = re.compile(re.escape(_PREFIX) + r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SOME = 100
_KEYS_AT_ONCE = 500  # below SQLite's oldest limit of 999 variables


class FileSweep:
    """All of it may be done by several processes at once."""

    def __init__(
        self, database: Database, storage: FileStorage, removal: Removal, *, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._storage = storage
        self._removal = removal
        self._clock = clock

    async def loose(self, before: datetime) -> int:
        """Delete nobody's files that came before a moment and belong to no chat; how many it were."""
        count = 0
        while ids := await self._loose(before):
            if not (removed := await self._removal.remove(ids, None)):
                break  # another has been quicker
            count += removed
        return count

    async def orphans(self) -> tuple[int, int]:
        """Delete bytes that no file has, and give up on files that have no bytes, both older than an hour; how many
        of each.

        Raises:
            StorageUnavailable: the storage fails.
        """
        before = self._clock() - UNTOUCHED
        async with self._database.read() as session:
            waiting = set(await FileRepository(session).waiting(before))
        removed = 0
        async for some in self._stored():
            waiting -= some.keys()
            removed += await self._remove_unknown([name for name, changed in some.items() if changed < before])
        async with self._database.write() as session:
            failed = await FileRepository(session).fail(list(waiting), LOST, self._clock()) if waiting else 0
        return removed, failed

    async def _loose(self, before: datetime) -> list[str]:
        async with self._database.read() as session:
            return await FileRepository(session).loose(before, _SOME)

    async def _stored(self) -> AsyncIterator[dict[str, datetime]]:
        """What is in storage, some at a time: file ids with the times of their last change."""
        some: dict[str, datetime] = {}
        async with aclosing(self._storage.keys()) as keys:
            async for key, changed in keys:
                if _IS_OURS.fullmatch(key):
                    some[key.removeprefix(_PREFIX)] = changed
                if len(some) == _KEYS_AT_ONCE:
                    yield some
                    some = {}
        yield some

    async def _remove_unknown(self, names: list[str]) -> int:
        async with self._database.read() as session:
            known = await FileRepository(session).known(names)
        unknown = [name for name in names if name not in known]
        for name in unknown:
            await self._storage.delete(storage_key(name))
        return len(unknown)
