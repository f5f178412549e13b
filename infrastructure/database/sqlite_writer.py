"""SQLite's writer: one thread with a connection of its own, in which a transaction runs from its begin to its commit.

Through the async driver each statement is a change of threads and back, some 50 µs of the event loop's time: keeping a
turn, in eight statements, took a third of all that its answer cost.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from typing import Any, TypeVar

import orjson
from sqlalchemy import Insert, Select
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError, OperationalError

from infrastructure.database.rows import Change, FixedStatements, OfKind, Rows, Values, to_json
from infrastructure.database.sqlite_texts import for_keys, for_rows, pieces
from infrastructure.database.together import Together

T = TypeVar("T")
Then = Callable[[T | None, BaseException | None], None]
"""Told of a transaction's result, or of its fault."""
_DIALECT = sqlite.dialect(
    paramstyle="qmark",
    json_serializer=to_json,
    json_deserializer=orjson.loads,
)


class SqliteWriter:
    """Runs transactions in its thread, one after the other. The connection is made with the first."""

    def __init__(self, path: str, pragmas: Sequence[str]) -> None:
        self._path = path
        self._pragmas = pragmas
        self._thread = ThreadPoolExecutor(1, "sqlite-writer")
        self._connection: sqlite3.Connection | None = None
        self._statements = FixedStatements(_DIALECT)

    async def transact(self, work: Callable[[Rows], Coroutine[Any, Any, T]]) -> T:
        """Run `work` as one transaction: committed when it returns, rolled back when it raises.

        Raises:
            IntegrityError, OperationalError: SQLAlchemy's, for sqlite3's own.
        """
        return await self._in_thread(work, "BEGIN IMMEDIATE")  # which takes the write lock at once

    async def look(self, work: Callable[[Rows], Coroutine[Any, Any, T]]) -> T:
        """The same for what only reads."""
        return await self._in_thread(work, "BEGIN")

    def transact_soon(self, work: Callable[[Rows], Coroutine[Any, Any, T]], then: Then[T]) -> None:
        """As `transact`, with nobody who waits: `then` is called in the event loop's next turn after its end."""
        loop = asyncio.get_running_loop()
        try:
            self._thread.submit(self._run_soon, work, then, loop)
        except RuntimeError as fault:  # it is closed
            loop.call_soon(then, None, fault)

    async def aclose(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    async def _in_thread(self, work: Callable[[Rows], Coroutine[Any, Any, T]], begin: str) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work, begin)

    def _run_soon(
        self, work: Callable[[Rows], Coroutine[Any, Any, T]], then: Then[T], loop: asyncio.AbstractEventLoop
    ) -> None:
        result, fault = None, None
        try:
            result = self._run(work, "BEGIN IMMEDIATE")
        except BaseException as error:  # noqa: BLE001  whoever is told of the result is told of this
            fault = error
        with suppress(RuntimeError):  # the loop is closed, and nobody there to be told
            loop.call_soon_threadsafe(then, result, fault)

    def _run(self, work: Callable[[Rows], Coroutine[Any, Any, T]], begin: str) -> T:
        try:
            connection = self._connection or self._connect()
            connection.execute(begin)
            try:
                result = _driven(work(_ThreadRows(connection, self._statements)))
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.IntegrityError as fault:
            raise IntegrityError(None, None, fault) from fault
        except sqlite3.OperationalError as fault:
            raise OperationalError(None, None, fault) from fault
        return result

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, cached_statements=256)
        for pragma in self._pragmas:
            connection.execute(pragma).close()
        self._connection = connection
        return connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _ThreadRows:
    """`Rows` that answer at once."""

    alone = True

    def __init__(self, connection: sqlite3.Connection, statements: FixedStatements) -> None:
        self._connection = connection
        self._statements = statements

    def pick(self, of_kind: Mapping[str, OfKind]) -> OfKind:
        return of_kind["sqlite"]

    async def find(
        self, statement: Select[Any], keys: Sequence[Values], together: Select[Any] | None = None
    ) -> list[Sequence[Any]]:
        made = self._statements.of(statement)
        found: list[Sequence[Any]] = []
        parameters = [made.parameters(values) for values in keys]
        for some in pieces(parameters) if together is not None else ((one,) for one in parameters):
            sql = for_keys(made.sql, len(some))
            found += map(made.row, self._connection.execute(sql, list(chain.from_iterable(some))).fetchall())
        return found

    async def change(self, statement: Change, rows: Sequence[Values]) -> int:
        made = self._statements.of(statement)
        if len(rows) == 1:
            return self._connection.execute(made.sql, made.parameters(rows[0])).rowcount
        if isinstance(statement, Insert):
            self._change_many(statement, rows)
            return -1
        return self._connection.executemany(made.sql, [made.parameters(row) for row in rows]).rowcount

    async def change_together(self, changes: Together, rows: Sequence[Sequence[Values]]) -> None:
        for change, mine in zip(changes.changes, rows, strict=True):
            self._change_many(change, mine)

    def _change_many(self, statement: Change, rows: Sequence[Values]) -> None:
        made = self._statements.of(statement)
        for some in pieces([made.parameters(row) for row in rows]):
            sql = for_rows(made.sql, len(some))
            if sql is None:
                self._connection.executemany(made.sql, some)
            else:
                self._connection.execute(sql, list(chain.from_iterable(some)))


def _driven(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise RuntimeError("a transaction on SQLite waits for nothing but its own statements")
