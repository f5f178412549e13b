"""A real S3 server of its own for tests: moto's, in a process beside."""

import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4


@dataclass(frozen=True, slots=True)
class S3Bucket:
    """A bucket of its own for a test."""

    server: str
    name: str

    def open_uploads(self) -> list[str]:
        """The keys of multipart uploads that were begun, and neither completed nor aborted."""
        return re.findall(r"<Key>(.*?)</Key>", self.ask("GET", "?uploads"))

    def ask(self, method: str, path: str, body: bytes | None = None) -> str:
        request = urllib.request.Request(f"{self.server}/{self.name}{path}", body, method=method)  # noqa: S310  our own
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return str(answer.read().decode())


@dataclass(frozen=True, slots=True)
class S3Server:
    url: str
    process: "subprocess.Popen[bytes]"

    def new_bucket(self) -> S3Bucket:
        bucket = S3Bucket(self.url, f"askgraph-{uuid4()}")
        bucket.ask("PUT", "")
        return bucket

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def serving() -> Iterator[S3Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = S3Server(f"http://127.0.0.1:{port}", process)
    try:
        _wait_for(port, process)
        yield server
    finally:
        server.kill()


def _wait_for(port: int, process: "subprocess.Popen[bytes]", seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert process.poll() is None, "the S3 server ended"
            assert time.monotonic() < deadline, "the S3 server does not answer"
            time.sleep(0.02)
