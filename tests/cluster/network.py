"""Hosts as network namespaces of this machine, on one bridge. Nothing of it is seen outside the namespaces.

Every host has one interface, `eth0`, whose other end is a port of the bridge, which is in a namespace of its own. A
host's cable is pulled by taking its port down: nothing is said to anybody, no FIN, no reset. What two addresses say
to each other is lost by having both sides send it to a machine that there is none of; so no packet filter is needed,
which not every kernel has.
"""

import ctypes
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

NET = "192.0.2."  # a range for documentation: no host has it (RFC 5737)
NOWHERE, NOBODY = f"{NET}254", "02:00:00:00:00:fe"
NAMED = Path("/run/netns")
PREFIX = "askgraph-"
SWITCH = "switch"
CLONE_NEWNET = 0x40000000
LOST_TABLE = 77  # of routes, within a namespace
_libc = ctypes.CDLL(None, use_errno=True)


class Network:
    """Hosts with their addresses. Their names in the system begin with this process's number."""

    def __init__(self, hosts: Mapping[str, Sequence[str]]) -> None:
        self.hosts = hosts
        self._name = f"{PREFIX}{os.getpid()}-"
        self._lost: set[tuple[str, str]] = set()

    def namespace(self, host: str) -> str:
        return self._name + host

    def up(self) -> None:
        """Make all of it; what a run that was killed has left goes first."""
        remove_left()
        for host in (SWITCH, *self.hosts):
            run("ip", "netns", "add", self.namespace(host))
            self.ip(host, "link", "set", "lo", "up")
        self.ip(SWITCH, "link", "add", "bridge", "type", "bridge")
        self.ip(SWITCH, "link", "set", "bridge", "up")
        for host, addresses in self.hosts.items():
            self.ip(SWITCH, *f"link add {host} type veth peer name eth0 netns {self.namespace(host)}".split())
            self.ip(SWITCH, "link", "set", host, "master", "bridge", "up")
            for address in addresses:
                self.ip(host, "address", "add", f"{address}/24", "dev", "eth0")
            self.ip(host, "link", "set", "eth0", "up")

    def down(self) -> None:
        for host in (*self.hosts, SWITCH):
            with suppress(subprocess.CalledProcessError):
                run("ip", "netns", "delete", self.namespace(host))

    def ip(self, host: str, *words: str) -> None:
        run("ip", "-n", self.namespace(host), *words)

    def unplug(self, host: str) -> None:
        """Pull its cable."""
        self.ip(SWITCH, "link", "set", host, "down")

    def plug(self, host: str) -> None:
        self.ip(SWITCH, "link", "set", host, "up")

    def lose(self, host: str, address: str) -> None:
        """From now on what `host` and another host's `address` send each other is lost; all else arrives."""
        owner = self._owner(address)
        self.ip(host, "neigh", "replace", address, "lladdr", NOBODY, "nud", "permanent", "dev", "eth0")
        self.ip(owner, "neigh", "replace", NOWHERE, "lladdr", NOBODY, "nud", "permanent", "dev", "eth0")
        self.ip(owner, *f"route replace default via {NOWHERE} dev eth0 table {LOST_TABLE}".split())
        self.ip(owner, *self._rule("add", host, address))
        self._lost.add((host, address))

    def find(self, host: str, address: str) -> None:
        """Undo `lose`."""
        self.ip(host, "neigh", "delete", address, "dev", "eth0")
        self.ip(self._owner(address), *self._rule("delete", host, address))
        self._lost.discard((host, address))

    def heal(self) -> None:
        """Everybody reaches everybody again."""
        for host, address in tuple(self._lost):
            self.find(host, address)
        for host in self.hosts:
            self.plug(host)

    def socket(self, host: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A new TCP socket of that host."""
        with self.entered(host):
            return socket.socket(socket.AF_INET, kind)

    @contextmanager
    def entered(self, host: str) -> Iterator[None]:
        """This thread is on that host. Nothing may be awaited meanwhile: other tasks would be there, too."""
        with Path("/proc/thread-self/ns/net").open() as own, (NAMED / self.namespace(host)).open() as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(own.fileno())

    def _owner(self, address: str) -> str:
        return next(host for host, addresses in self.hosts.items() if address in addresses)

    def _rule(self, verb: str, host: str, address: str) -> list[str]:
        return f"rule {verb} from {address} to {self.hosts[host][0]} lookup {LOST_TABLE}".split()


def remove_left() -> None:
    """Remove the hosts and the folders of runs whose process is gone."""
    for path in NAMED.glob(f"{PREFIX}*-*") if NAMED.is_dir() else ():
        if _is_left(path):
            with suppress(subprocess.CalledProcessError):
                run("ip", "netns", "delete", path.name)
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-cluster-*"):
        if _is_left(path):
            shutil.rmtree(path, ignore_errors=True)


def folder() -> Path:
    """A new folder for what servers write; it ends as the hosts do."""
    made = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-cluster-"))
    made.chmod(0o755)  # some servers are other users' processes
    return made


def _is_left(path: Path) -> bool:
    number = re.match(rf"{PREFIX}(\d+)-", path.name)
    return number is not None and not Path(f"/proc/{number[1]}").exists()


def impossible() -> str | None:
    """Why no hosts can be made here; None: they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    probe = f"{PREFIX}{os.getpid()}-probe"
    try:
        run("ip", "netns", "add", probe)
        try:
            run("ip", "-n", probe, *["link", "add", "first", "type", "veth", "peer", "name", "second"])
            run("ip", "-n", probe, *["link", "add", "third", "type", "bridge"])
            run("ip", "-n", probe, *f"rule add from {NOWHERE} lookup {LOST_TABLE}".split())
        finally:
            run("ip", "netns", "delete", probe)
    except FileNotFoundError:
        return "there is no `ip` (Debian: apt-get install iproute2)"
    except subprocess.CalledProcessError as fault:
        return f"this machine does not allow network namespaces: {fault.stderr.strip()}"
    return None


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=30).stdout


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
