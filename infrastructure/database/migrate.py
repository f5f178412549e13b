"""Brings a database's tables to the newest revision, and back.

Alembic is imported only when there is something to do: a start over an up-to-date database costs one small query.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool

from infrastructure.database.engine import for_writing, open_engine

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x41736B4772617068  # "AskGraph": the key of PostgreSQL's advisory lock for migrations


class _Step(Protocol):
    def __call__(self, config: "Config", revision: str) -> None: ...


def newest_revision() -> str:
    """The newest revision there is. Files are named `NNNN_what.py` after their revision `NNNN`."""
    return max(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


async def is_current(engine: AsyncEngine) -> bool:
    """Whether the database's tables are of the newest revision."""
    async with engine.connect() as connection:
        try:
            found = await connection.scalar(text("SELECT version_num FROM alembic_version"))
        except DBAPIError:  # no such table: nothing was ever migrated
            return False
    return bool(found == newest_revision())


async def bring_up_to_date(url: str) -> None:
    """Bring the database at `url` to the newest revision, if it is not there.

    Raises:
        SQLAlchemyError, OSError: it cannot be had.
    """
    engine = open_engine(url, poolclass=NullPool)
    try:
        current = await is_current(engine)
    finally:
        await engine.dispose()
    if not current:
        await upgrade(url)


async def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database at `url` up to `revision`. Two processes that do it at once take turns."""
    from alembic import command

    await _run(url, command.upgrade, revision)


async def downgrade(url: str, revision: str = "base") -> None:
    """Take the database at `url` back to `revision`; `base` leaves no table but Alembic's own."""
    from alembic import command

    await _run(url, command.downgrade, revision)


async def _run(url: str, step: _Step, revision: str) -> None:
    # An engine of its own, because SQLite's foreign keys must be off while tables are copied and replaced. The whole
    # of it is one transaction over the same async driver as ever: a failed migration leaves the database as it was.
    engine = open_engine(url, foreign_keys=False, poolclass=NullPool)
    try:
        async with for_writing(engine).begin() as connection:
            await connection.run_sync(partial(_step, step=step, revision=revision))
    finally:
        await engine.dispose()


def _step(connection: Connection, step: _Step, revision: str) -> None:
    from alembic.config import Config

    if connection.dialect.name == "postgresql":  # SQLite's transaction holds the lock already
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    step(config, revision)
