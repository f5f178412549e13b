"""Where services are born: one process that has imported all that a service imports, and forks itself for each.

A service's start is four seconds of processor time, nearly all of it imports, and there are hundreds of starts. What
is forked is a process of its own as ever: its id, its memory, its end, its files. Nothing of the service is built at
import, so there is nothing that two of them could share. Run as a program this is that process.
"""

import asyncio
import atexit
import functools
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_ORDER_BYTES = 128 * 1024
PRELOADED = (
    "backend.cli", "backend.main", "backend.server",
    # What these import where they use it, and every service does; not `wordllama`, which sets up logging as it comes.
    "aiosqlite", "alembic.autogenerate", "alembic.command", "anyio._backends._asyncio", "asyncpg", "fastapi_swagger",
    "langchain_core.tracers", "lxml.etree", "mako.template",
    "pygments.formatters", "pygments.lexers", "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite.aiosqlite", "tokenizers", "uvicorn.lifespan.on", "uvloop", "yaml",
)  # fmt: skip
STREAM_LIMIT = 16 * 1024 * 1024  # bytes of a line


class Forked:
    """A forked process, from the side of who wanted it: as much of `asyncio.subprocess.Process` as tests use."""

    def __init__(self, pid: int, stdout: asyncio.StreamReader, told: asyncio.StreamReader) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._ended = asyncio.create_task(self._end(told))

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def _end(self, told: asyncio.StreamReader) -> int:
        self.returncode = int(await told.read())  # to its end, else the pipe outlives the test's loop
        return self.returncode


async def forked(arguments: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> Forked:
    """A new process that is `python -m backend.cli ARGUMENTS` in that folder and environment."""
    stdout, told = await _pipe(), await _pipe()
    order = json.dumps({"arguments": list(arguments), "cwd": str(cwd), "environment": dict(environment)}).encode()
    try:
        socket.send_fds(_nursery(), [order], [stdout[1], told[1]])
    finally:
        os.close(stdout[1])
        os.close(told[1])
    return Forked(int(await told[0].readline()), stdout[0], told[0])


async def _pipe() -> tuple[asyncio.StreamReader, int]:
    """The reading end, and the file descriptor of the other, which is the caller's to close."""
    reading, writing = os.pipe()
    reader = asyncio.StreamReader(limit=STREAM_LIMIT)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", 0))
    return reader, writing


@functools.cache
def _nursery() -> socket.socket:
    """This process's own; it ends with it."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.nursery", str(there.fileno())],
        cwd=ROOT, pass_fds=[there.fileno()], stdin=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    there.close()

    def end() -> None:
        here.close()
        process.wait()

    atexit.register(end)
    return here


class Nursery:
    """Forks on order until the one who orders is gone."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._selector = selectors.DefaultSelector()
        self._selector.register(orders, selectors.EVENT_READ)

    def serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is not self._orders:
                    self._bury(key.fd, *key.data)
                elif not self._bear():
                    return

    def _bear(self) -> bool:
        order, fds, _, _ = socket.recv_fds(self._orders, MAX_ORDER_BYTES, 2)
        if not order:
            return False
        stdout, told = fds
        pid = os.fork()
        if pid == 0:
            self._let_go()
            os.close(told)
            _live(stdout, **json.loads(order))
        os.close(stdout)
        os.write(told, f"{pid}\n".encode())
        self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, told))
        return True

    def _bury(self, pidfd: int, pid: int, told: int) -> None:
        self._selector.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        _tell(told, os.waitstatus_to_exitcode(status))

    def _let_go(self) -> None:
        """What the new process has of its sisters' is closed."""
        for key in self._selector.get_map().values():
            if key.fileobj is not self._orders:
                os.close(key.fd)
                os.close(key.data[1])
        self._selector.close()
        self._orders.close()


def _tell(told: int, status: int) -> None:
    try:
        os.write(told, f"{status}\n".encode())
    except BrokenPipeError:  # nobody waits for it
        pass
    finally:
        os.close(told)


def _live(stdout: int, arguments: list[str], cwd: str, environment: dict[str, str]) -> None:
    """Be that program; does not return."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(stdout, 1)
    os.dup2(stdout, 2)
    os.close(stdout)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = arguments
    from backend.cli import main

    main()
    raise SystemExit(0)


def main(fd: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal's: the tests end what they began
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()
    with socket.socket(fileno=fd) as orders:
        Nursery(orders).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))
