"""The relational database: how its engine is made, and how a transaction is opened for reading or for writing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import orjson
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as SqlTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from infrastructure.database.rows import Rows, to_json
from infrastructure.database.sqlite_writer import SqliteWriter, Then

if TYPE_CHECKING:
    from infrastructure.database.postgres_writer import PostgresWriter

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_WRITING = {"askgraph_writing": True}
T = TypeVar("T")
BUSY_TIMEOUT_MS = 5000
CONNECT_SECONDS = 10.0
_AWAY = ("08", "53", "57P", "25006")
"""PostgreSQL's codes for: no connection, no room for one more, starting or shutting down, a standby that only reads."""
_POSTGRESQL: dict[str, Any] = {
    # Behind PgBouncer in transaction mode the next transaction may be on another server connection, which knows of no
    # statement prepared before: only unnamed ones are used, and none is kept.
    "connect_args": {
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: "",
        "timeout": CONNECT_SECONDS,
    },
    "pool_pre_ping": True,  # a server that was restarted costs nobody a request
}


def async_url(url: str) -> URL:
    """`url` with the async driver of its database, whichever spelling it came in.

    Raises:
        ValueError: neither SQLite nor PostgreSQL. The message names the scheme only, for a URL holds a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number is the latter; both texts show the password
        raise ValueError("the database URL cannot be read") from None
    backend = parsed.drivername.partition("+")[0]
    if backend not in _DRIVERS:
        raise ValueError(f"unsupported database: {backend}")
    if backend != "sqlite" and (mode := parsed.query.get("sslmode")) is not None:  # libpq's name for what asyncpg has
        parsed = parsed.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    return parsed.set(drivername=_DRIVERS[backend])


def open_engine(url: str, *, foreign_keys: bool = True, pool_size: int | None = None, **options: Any) -> AsyncEngine:
    """An engine for `url`; no connection is made yet. The folder of a SQLite file is made when missing.

    Args:
        pool_size: the most connections there may be at once; by default what SQLAlchemy thinks fit.
        foreign_keys: False only for migrations: SQLite changes a table by copying and dropping it, and the drop would
            cascade to the rows that refer to it.
        options: more for SQLAlchemy's `create_async_engine`.
    """
    target = async_url(url)
    sqlite = target.get_backend_name() == "sqlite"
    if pool_size is not None:
        options |= {"pool_size": pool_size, "max_overflow": 0}
    if not sqlite:
        options |= _POSTGRESQL
    engine = create_async_engine(target, json_serializer=to_json, json_deserializer=orjson.loads, **options)
    if sqlite:
        if target.database and target.database != ":memory:":
            Path(target.database).parent.mkdir(parents=True, exist_ok=True)
        _prepare_sqlite(engine, foreign_keys)
    return engine


def _prepare_sqlite(engine: AsyncEngine, foreign_keys: bool) -> None:
    pragmas = _pragmas(foreign_keys)

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself; `begin` below does
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # A reader that turns writer in mid-transaction fails at once with "database is locked", busy timeout or not:
        # a writing transaction takes the lock when it begins, a reading one never.
        writing = connection.get_execution_options().get("askgraph_writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _pragmas(foreign_keys: bool) -> tuple[str, ...]:
    return (
        f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",  # first: the change to WAL below may have to wait for another process
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=NORMAL",
        f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}",
    )


def for_writing(engine: AsyncEngine) -> AsyncEngine:
    """The same engine and pool, whose transactions take SQLite's write lock when they begin."""
    return engine.execution_options(**_WRITING)


class Database:
    """Sessions over one engine. A session holds its connection from its first statement to the end of its block."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._writer = for_writing(engine)
        self._turn = asyncio.Lock() if self.is_sqlite else nullcontext()
        self._lean = _lean_writer(engine)
        self._transactions: set[asyncio.Task[None]] = set()  # nobody else holds them

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session that only reads: it never waits for a writer, and what it changed is not kept."""
        with _as_database_errors():
            async with AsyncSession(self.engine, expire_on_commit=False) as session:
                yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A unit of work: committed when the block ends, rolled back when it raises.

        SQLite has one writer at a time. Those of this process stand in line here, in the order of coming; waiting in
        the database itself is polling, which is slow and lets some wait for ever.
        """
        with _as_database_errors():
            async with self._turn, AsyncSession(self._writer, expire_on_commit=False) as session, session.begin():
                yield session

    async def transact(self, work: Callable[[Rows], Coroutine[Any, Any, T]]) -> T:
        """A unit of work over fixed statements: the lean way for what is written with every answer."""
        with _as_database_errors():
            async with self._turn:
                return await self._lean.transact(work)

    def transact_soon(self, work: Callable[[Rows], Coroutine[Any, Any, T]], then: Then[T]) -> None:
        """As `transact`, begun at once and with nobody who waits: `then` is called in the very turn of the event loop
        in which the end is known, and a task's wake-up, one turn more, is spared.
        """
        if isinstance(self._lean, SqliteWriter) and _taken(self._turn):
            self._lean.transact_soon(work, partial(self._give_back, then))
        else:
            self._transact_in_task(work, then)

    def _transact_in_task(self, work: Callable[[Rows], Coroutine[Any, Any, T]], then: Then[T]) -> "asyncio.Task[None]":
        task = asyncio.create_task(self._transact_then(work, then), name="transaction")
        self._transactions.add(task)
        task.add_done_callback(self._transactions.discard)
        return task

    def _give_back(self, then: Then[T], result: T | None, fault: BaseException | None) -> None:
        cast(asyncio.Lock, self._turn).release()
        then(result, fault)

    async def _transact_then(self, work: Callable[[Rows], Coroutine[Any, Any, T]], then: Then[T]) -> None:
        try:
            result = await self.transact(work)
        except BaseException as fault:
            then(None, fault)
            if not isinstance(fault, Exception):
                raise
        else:
            then(result, None)

    async def look(self, work: Callable[[Rows], Coroutine[Any, Any, T]]) -> T:
        """The same for what only reads."""
        with _as_database_errors():
            return await self._lean.look(work)

    async def close(self) -> None:
        await self._lean.aclose()
        await self.engine.dispose()


def _taken(lock: object) -> bool:
    """Whether the lock could be taken without waiting, and was."""
    if not isinstance(lock, asyncio.Lock):
        return False
    taking = lock.acquire()
    try:
        taking.send(None)
    except StopIteration:
        return True
    taking.close()
    return False


def _lean_writer(engine: AsyncEngine) -> "SqliteWriter | PostgresWriter":
    url = engine.url
    if url.get_backend_name() == "sqlite":
        return SqliteWriter(url.database or ":memory:", _pragmas(True))
    from infrastructure.database.postgres_writer import PostgresWriter

    _, options = engine.dialect.create_connect_args(url)
    return PostgresWriter({**options, "timeout": CONNECT_SECONDS})


@contextmanager
def _as_database_errors() -> Iterator[None]:
    """asyncpg says with an OSError of the system's that it cannot connect; to those above it is a database's error."""
    try:
        yield
    except OSError as fault:
        raise OperationalError(None, None, fault) from fault


def is_unavailable(fault: BaseException) -> bool:
    """Whether it is the database that cannot be had, and not this work that cannot be done."""
    if isinstance(fault, DBAPIError) and (
        fault.connection_invalidated or str(getattr(fault.orig, "sqlstate", None)).startswith(_AWAY)
    ):
        return True
    return isinstance(fault, OperationalError | InterfaceError | SqlTimeout | OSError)
