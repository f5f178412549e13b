"""Servers on the hosts: started, asked whether they answer, stopped, killed."""

import http.client
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals

from tests.cluster.network import Network

READY_SECONDS = 60.0
POLL_SECONDS = 0.05


class Server:
    """A process on a host. It is ended when the process that started it is: also when that one is killed.

    Start it in the main thread: the system takes a thread's end for its starter's.
    """

    def __init__(
        self, network: Network, host: str, command: Sequence[str], log: Path, *, user: str | None = None,
        folder: Path | None = None, environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.network = network
        self.host = host
        self.command = list(command)
        self.log = log
        self.environment = dict(environment or {})
        self._user = user
        self._folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        rights = [f"--reuid={self._user}", f"--regid={self._user}", "--clear-groups"] if self._user else []
        words = ["ip", "netns", "exec", self.network.namespace(self.host), "setpriv", "--pdeathsig=KILL", *rights]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*words, *self.command], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self._folder,
                env={"PATH": os.environ["PATH"], **self.environment},
            )  # fmt: skip

    def signal(self, number: Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, seconds: float = 40.0) -> int:
        """Its exit status, when it has ended."""
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self, number: Signals = SIGTERM, seconds: float = 40.0) -> None:
        """End it, in the end by force."""
        if not self.running:
            return
        self.signal(number)
        try:
            self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        if self.running:
            self.signal(SIGKILL)
            self.wait()

    def until(self, answers: Callable[[], bool], seconds: float = READY_SECONDS) -> None:
        """Wait until `answers` is true; it may fail with an OSError before."""
        end = time.monotonic() + seconds
        while not _holds(answers):
            assert self.running, f"{self.command[0]} on {self.host} has ended: {self.tail()}"
            assert time.monotonic() < end, f"{self.command[0]} on {self.host} does not answer: {self.tail()}"
            time.sleep(POLL_SECONDS)

    def tail(self, characters: int = 2000) -> str:
        return self.log.read_text(errors="replace")[-characters:]


def accepts(network: Network, host: str, address: str, port: int) -> bool:
    """Whether `host` gets a connection to that port."""
    with closing(network.socket(host)) as wire:
        wire.settimeout(1.0)
        return wire.connect_ex((address, port)) == 0


def get(network: Network, host: str, address: str, port: int, path: str, seconds: float = 3.0) -> tuple[int, bytes]:
    """What `host` is answered on a GET: the status and the body."""
    wire = network.socket(host)
    wire.settimeout(seconds)
    connection = http.client.HTTPConnection(address, port)
    with closing(connection):
        connection.sock = wire
        wire.connect((address, port))
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        return response.status, response.read()


def _holds(answers: Callable[[], bool]) -> bool:
    try:
        return answers()
    except (OSError, http.client.HTTPException):
        return False
