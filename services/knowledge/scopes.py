"""Scopes: which knowledge a question may see, by who asks it, where, and what they chose."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from uuid import UUID

from infrastructure.database.engine import Database
from infrastructure.database.models import SHARED
from infrastructure.database.repositories.scopes import FileOwner, files_by_id, files_of_chat
from infrastructure.errors import InvalidInput, NotFound
from services.knowledge.scope import NO_DOCUMENTS, SHARED_SCOPE, Scope, partition_of
from services.principals import may_reach

NO_FILE = "No such file."
MAX_CHOSEN = 100
_KEPT_CHATS = 10_000


class Scopes:
    """Finds scopes. What files a chat has is remembered where this process alone changes it (SQLite) until `forget`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._chats: OrderedDict[str, tuple[FileOwner, ...]] = OrderedDict()

    def forget(self, chat_id: str | None = None) -> None:
        """A chat's files have changed; None: who knows which chats'."""
        if chat_id is None:
            self._chats.clear()
        else:
            self._chats.pop(chat_id, None)

    async def of(
        self, owner: str | None, chat_id: str | None = None, chosen: Sequence[str] = (), *, fresh: bool = False
    ) -> Scope:
        """The shared knowledge and all of the owner's files, the chat's first; or just the `chosen` files.

        A `fresh` chat is known to have no files, as it was made just now or was looked at. A file that is somebody
        else's is in no scope, whatever chat it belongs to.

        Raises:
            NotFound: a chosen file is not there, or somebody else's.
            InvalidInput: too many were chosen.
        """
        if chosen:
            return _chosen(await self._by_id(chosen), owner)
        attached = () if chat_id is None or fresh else await self._of_chat(chat_id)
        mine = [one for one in attached if may_reach(one[1], owner)]
        if owner is None and not mine:
            return SHARED_SCOPE
        own = (owner,) if owner is not None else ()
        others = tuple(file_id for file_id, of in mine if of is None)  # each anonymous file is a partition of its own
        return Scope((SHARED, *own, *others), first=frozenset(file_id for file_id, _ in mine) or NO_DOCUMENTS)

    async def check(self, owner: str | None, chosen: Sequence[str]) -> None:
        """Make sure that `owner` may look into the chosen files.

        Raises:
            NotFound, InvalidInput: as for `of`.
        """
        if chosen:
            _chosen(await self._by_id(chosen), owner)

    async def _by_id(self, chosen: Sequence[str]) -> list[FileOwner]:
        ids = [file_id for file_id in map(_as_id, dict.fromkeys(chosen)) if file_id is not None]
        if len(chosen) > MAX_CHOSEN:
            raise InvalidInput(f"At most {MAX_CHOSEN} files can be chosen.")
        found = await self._database.look(partial(files_by_id, ids=ids))
        if len(found) != len(set(chosen)):
            raise NotFound(NO_FILE)
        return found

    async def _of_chat(self, chat_id: str) -> Sequence[FileOwner]:
        kept = self._chats.get(chat_id)
        if kept is not None:
            self._chats.move_to_end(chat_id)
            return kept
        found = tuple(await self._database.look(partial(files_of_chat, chat_id=chat_id)))
        if self._database.is_sqlite:
            self._chats[chat_id] = found
            if len(self._chats) > _KEPT_CHATS:
                self._chats.popitem(last=False)
        return found


def _chosen(files: Sequence[FileOwner], owner: str | None) -> Scope:
    if not all(may_reach(of, owner) for _, of in files):
        raise NotFound(NO_FILE)
    partitions = dict.fromkeys(partition_of(file_id, of) for file_id, of in files)
    return Scope(tuple(partitions), only=frozenset(file_id for file_id, _ in files))


def _as_id(text: str) -> str | None:
    """An id as ids are spelt; None for what is none."""
    try:
        return str(UUID(text))
    except ValueError:
        return None
