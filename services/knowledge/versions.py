"""The version of some knowledge: another one after each change of what a search finds there."""

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Protocol

from infrastructure.database.engine import Database
from infrastructure.database.repositories.partitions import generations


class Searched(Protocol):
    """What is searched."""

    async def version(self, partitions: Sequence[str]) -> Hashable | None:
        """The version of what a search finds from now on; None where that cannot be told."""


class KnowledgeVersions:
    """Where this process alone changes documents (SQLite) the index knows all; else the database is asked as well."""

    def __init__(self, database: Database, search: Searched) -> None:
        self._database = database
        self._search = search

    async def of(self, partitions: Sequence[str]) -> Hashable | None:
        """To be taken before the knowledge is looked into: what is found then is of this version or a later one. None:
        nothing can be said.
        """
        found = await self._search.version(partitions)
        if found is None or self._database.is_sqlite:
            return found
        stored = await self._database.look(partial(generations, partitions=partitions))
        return (found, *[stored.get(partition, 0) for partition in partitions])
