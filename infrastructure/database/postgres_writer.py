"""PostgreSQL's writer: a few connections of its own, whose statements the server keeps prepared.

SQLAlchemy's asynchronous way takes a greenlet, a ping and two round trips for each statement, which are twice the time
of the server's work. What is written with every answer goes this way instead, straight to the driver.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Select
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError

from infrastructure.database.rows import Change, FixedStatements, OfKind, Rows, Values, to_json
from infrastructure.database.together import Together

T = TypeVar("T")
Work = Callable[[Rows], Coroutine[Any, Any, T]]
CONNECTIONS = 2
"""Of each process, besides SQLAlchemy's: one for what is written together, and one for who only looks."""
_WAIT_SECONDS = 30.0  # for a connection
_LOST = (
    asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError,
)  # fmt: skip
_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class PostgresWriter:
    """Runs transactions, each on one of a few connections. They are made when they are needed.

    Args:
        options: asyncpg's for a connection.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        dialect: Any = PGDialect_asyncpg
        self._statements = FixedStatements(dialect(json_serializer=to_json))
        self._opening = asyncio.Lock()
        self._pool: asyncpg.Pool | None = None
        self._pooled = False  # something stands between us and the server, and hands its connections round

    async def transact(self, work: Work[T]) -> T:
        """Run `work` as one transaction: committed when it returns, rolled back when it raises.

        Raises:
            IntegrityError, InterfaceError, DBAPIError: SQLAlchemy's, for asyncpg's own.
            OSError: there is no way to the server.
        """
        return await self._run(work, self._in_transaction)

    async def look(self, work: Work[T]) -> T:
        """The same for what only reads: each of its statements sees what is committed by then.

        Raises:
            the same.
        """
        return await self._run(work, self._looking)

    async def aclose(self) -> None:
        if self._pool is not None:
            await self._pool.close()

    async def _run(self, work: Work[T], way: Callable[[Any, Work[T]], Coroutine[Any, Any, T]]) -> T:
        pool = self._pool or await self._open()
        try:
            try:
                async with pool.acquire(timeout=_WAIT_SECONDS) as connection:
                    return await way(connection, work)
            except _Stale:  # the server was restarted, or whoever stands before it: nothing was done
                async with pool.acquire(timeout=_WAIT_SECONDS) as connection:
                    return await way(connection, work)
        except _Stale as fault:
            raise _translated(fault.cause) from fault.cause
        except _FAULTS as fault:
            raise _translated(fault) from fault

    async def _in_transaction(self, connection: Any, work: Work[T]) -> T:
        transaction = connection.transaction()
        try:
            await transaction.start()
        except _LOST as fault:
            connection.terminate()
            raise _Stale(fault) from fault
        try:
            result = await work(_ServerRows(connection, self._statements))
            await transaction.commit()
        except BaseException:
            await _roll_back(connection, transaction)
            raise
        return result

    async def _looking(self, connection: Any, work: Work[T]) -> T:
        if self._pooled:  # what reads a statement and what runs it would each get another connection else
            return await self._in_transaction(connection, work)
        try:
            return await work(_ServerRows(connection, self._statements))
        except _LOST as fault:
            connection.terminate()
            raise _Stale(fault) from fault

    async def _open(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    min_size=0, max_size=CONNECTIONS, connect=self._connect, reset=_left_as_it_is, **self._options
                )
            return self._pool

    async def _connect(self, *given: Any, **options: Any) -> asyncpg.Connection:
        """A connection that keeps its statements prepared, where it is the server's own.

        Who pools connections (PgBouncer) gives another one with each transaction, which knows of no statement prepared
        before, and tells clients a process id of its own making. By that they are known.
        """
        if not self._pooled:
            connection = await asyncpg.connect(*given, **options)
            own = await connection.execute(f"SELECT 1 WHERE pg_backend_pid() = {connection.get_server_pid()}")
            if own == "SELECT 1":
                return connection
            self._pooled = True
            await connection.close()
        return await asyncpg.connect(*given, **options, statement_cache_size=0)


class _Stale(Exception):
    """A connection turned out to be lost before anything was done on it."""

    def __init__(self, cause: BaseException) -> None:
        self.cause = cause


class _ServerRows:
    """`Rows` over a connection of the driver's."""

    alone = False

    def __init__(self, connection: Any, statements: FixedStatements) -> None:
        self._connection = connection
        self._statements = statements

    def pick(self, of_kind: Mapping[str, OfKind]) -> OfKind:
        return of_kind["postgresql"]

    async def find(
        self, statement: Select[Any], keys: Sequence[Values], together: Select[Any] | None = None
    ) -> list[Sequence[Any]]:
        if together is not None and len(keys) > 1:
            statement, keys = together, [{"ids": [key["id"] for key in keys]}]
        made = self._statements.of(statement)
        found: list[Sequence[Any]] = []
        for values in keys:
            found += map(made.row, await self._connection.fetch(made.sql, *made.parameters(values)))
        return found

    async def change(self, statement: Change, rows: Sequence[Values]) -> int:
        made = self._statements.of(statement)
        if len(rows) > 1:
            await self._connection.executemany(made.sql, [made.parameters(row) for row in rows])
            return -1
        told: str = await self._connection.execute(made.sql, *made.parameters(rows[0]))
        return int(told.rpartition(" ")[2])

    async def change_together(self, changes: Together, rows: Sequence[Sequence[Values]]) -> None:
        if any(rows):
            made = self._statements.of(changes.statement)
            await self._connection.execute(made.sql, *made.parameters(changes.arrays(rows)))


async def _roll_back(connection: Any, transaction: Any) -> None:
    """Undo a transaction; a connection that cannot is not used again, and the server undoes it at its end."""
    try:
        await transaction.rollback()
    except _FAULTS:  # what led here is told, and was the first
        connection.terminate()
    except BaseException:
        connection.terminate()
        raise


async def _left_as_it_is(_: Any) -> None:
    """A connection is given back: nothing that was done on it outlives its transaction."""


def _translated(fault: BaseException) -> BaseException:
    """SQLAlchemy's error for the driver's: those above know one kind."""
    if isinstance(fault, OSError):
        return fault
    if isinstance(fault, asyncpg.IntegrityConstraintViolationError):
        return IntegrityError(None, None, fault)
    if isinstance(fault, asyncpg.InterfaceError | asyncpg.InternalClientError):  # the latter as it loses its server
        return InterfaceError(None, None, fault)
    return DBAPIError(None, None, fault)
