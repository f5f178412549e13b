"""Fixed statements run many times within one transaction, on whichever database.

What uses this is written once, as coroutines over `Rows`. On PostgreSQL they wait for the server. On SQLite the whole
transaction runs in the writer's own thread (`infrastructure.database.sqlite_writer`) and nothing in it ever waits: one
change of threads for all of it, where the async driver takes one for each statement.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Insert, Select, Update, bindparam, insert
from sqlalchemy.ext.asyncio import AsyncConnection

Values = Mapping[str, Any]


class Rows(Protocol):
    """A transaction. Statements are made once, at import, and name their values by `bindparam`."""

    def pick(self, of_kind: Mapping[str, Insert]) -> Insert:
        """The statement for this kind of database, `sqlite` or `postgresql`."""

    async def find(
        self, statement: Select[Any], keys: Sequence[Values], together: Select[Any] | None = None
    ) -> list[Sequence[Any]]:
        """The rows that a query finds for each set of values, one set after the other.

        `together` finds the same for all at once, in any order: it takes the list of their ids as `ids`. It is used
        where each statement is a way to a server and back.
        """

    async def change(self, statement: Insert | Update, rows: Sequence[Values]) -> int:
        """Run a statement for each row of values; how many rows the last one changed."""


class ServerRows:
    """`Rows` over SQLAlchemy's own connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def pick(self, of_kind: Mapping[str, Insert]) -> Insert:
        return of_kind[self._connection.dialect.name]

    async def find(
        self, statement: Select[Any], keys: Sequence[Values], together: Select[Any] | None = None
    ) -> list[Sequence[Any]]:
        if together is not None and len(keys) > 1:
            return list((await self._connection.execute(together, {"ids": [key["id"] for key in keys]})).all())
        found: list[Sequence[Any]] = []
        for values in keys:
            found += (await self._connection.execute(statement, dict(values))).all()
        return found

    async def change(self, statement: Insert | Update, rows: Sequence[Values]) -> int:
        if len(rows) == 1:
            return (await self._connection.execute(statement, dict(rows[0]))).rowcount
        return (await self._connection.execute(statement, [dict(row) for row in rows])).rowcount


def inserting(table: Any, *columns: str) -> Insert:
    """An insert into `table` whose values are named as its columns."""
    return insert(table).values({name: bindparam(name) for name in columns})
