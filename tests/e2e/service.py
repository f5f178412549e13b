"""The real service in a process of its own, on a port of its own."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import websockets

from tests.e2e.nursery import STREAM_LIMIT, Forked, forked

ROOT = Path(__file__).parents[2]
LISTENING = re.compile(r"running on http://127\.0\.0\.1:(\d+)")
START_SECONDS = 60
LINE_SECONDS = 20
SERVE = ("backend.cli", "serve")
AT_IMPORT = {
    "PROMETHEUS_MULTIPROC_DIR",  # the library reads it as it is imported
    "WEB_CONCURRENCY",  # the program imports little, and starts others
}


class Service:
    """A running service. `log` has its log lines, parsed."""

    def __init__(self, process: asyncio.subprocess.Process | Forked) -> None:
        self.process = process
        self.log: list[dict[str, Any]] = []
        self.raw: list[str] = []
        self.port = 0
        self._listening = asyncio.Event()
        self._changed = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self.process.pid

    def client(self, **options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=30, **options)

    @contextlib.asynccontextmanager
    async def socket(self, path: str = "/ws/ask", **options: Any) -> AsyncIterator["Socket"]:
        url = f"ws://127.0.0.1:{self.port}{path}"
        async with websockets.connect(url, compression=None, max_size=None, **options) as connection:
            yield Socket(connection)

    async def listening(self) -> None:
        """Returns when the service takes connections and has its knowledge."""
        waits = [asyncio.create_task(self._listening.wait()), asyncio.create_task(self.process.wait())]
        done, pending = await asyncio.wait(waits, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        assert self._listening.is_set(), f"the service did not start: {''.join(self.raw)[-2000:]}"
        assert done
        await self._logged(START_SECONDS, "ready", {})

    async def logged(self, event: str, **fields: Any) -> dict[str, Any]:
        """The first log line with that event and those fields, awaited."""
        return await self._logged(LINE_SECONDS, event, fields)

    async def _logged(self, seconds: float, event: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        async with self._changed:
            found: list[dict[str, Any]] = []

            def there() -> bool:
                found[:] = [line for line in self.log if {**line, "event": event, **fields} == line]
                return bool(found)

            await asyncio.wait_for(self._changed.wait_for(there), seconds)
            return found[0]

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def stop(self) -> int:
        if self.process.returncode is None:
            self.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), 30)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise AssertionError("the service did not end") from None
        await self._reader
        assert self.process.returncode is not None
        return self.process.returncode

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for data in self.process.stdout:
            line = data.decode()
            self.raw.append(line)
            with contextlib.suppress(json.JSONDecodeError):
                parsed = json.loads(line)
                async with self._changed:
                    self.log.append(parsed)
                    self._changed.notify_all()
            if match := LISTENING.search(line):
                self.port = int(match[1])
                self._listening.set()


class Socket:
    """A WebSocket client's end, with the frames as dictionaries."""

    def __init__(self, connection: websockets.ClientConnection) -> None:
        self.connection = connection

    async def send(self, **frame: Any) -> None:
        await self.connection.send(json.dumps(frame))

    async def next(self, seconds: float = 20) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(await asyncio.wait_for(self.connection.recv(), seconds))
        return frame

    async def until(self, **wanted: Any) -> list[dict[str, Any]]:
        """The frames up to and with the first that has all of `wanted`."""
        frames = []
        while True:
            frames.append(await self.next())
            if all(frames[-1].get(name) == value for name, value in wanted.items()):
                return frames

    async def closed(self) -> int | None:
        """The code that the server closes with; frames before it are let pass."""
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await self.next()
        return self.connection.close_code

    async def hello(self) -> dict[str, Any]:
        frame = await self.next()
        assert (frame["type"], frame["status"]) == ("status", "connected")
        details: dict[str, Any] = frame["details"]
        return details

    async def ask(self, question: str, **more: Any) -> list[dict[str, Any]]:
        """Ask, and return the run's frames through `ready`."""
        await self.send(type="question", question=question, **more)
        return await self.until(type="status", status="ready")


async def started(start: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", *start, cwd=cwd, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, limit=STREAM_LIMIT,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def running(
    folder: Path, settings: Mapping[str, Any] | None = None, start: Sequence[str] = SERVE, *, anew: bool = False
) -> AsyncIterator[Service]:
    """Start the service with its data in `folder`, and end it with the block.

    `start`: a module and its arguments, where it is another program. `anew`: from its first import, as people start it,
    where that is what a test is about; else it is forked by a process that has imported it all.
    """
    base = {
        "HOST": "127.0.0.1",
        "PORT": "0",
        "DATA_DIR": str(folder / "data"),
        "CACHE_DIR": str(folder / "cache"),
        "KNOWLEDGE_DIR": str(ROOT / "knowledge"),
        "LOG_FORMAT": "json",
        "RATE_LIMIT_REQUESTS_PER_MINUTE": "100000",
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
    }
    inherited = {name: value for name, value in os.environ.items() if name.startswith("COV")}
    environment = {**inherited, **base, **{name: str(value) for name, value in (settings or {}).items()}}
    if anew or start != SERVE or AT_IMPORT & environment.keys():
        service = Service(await started(start, folder, environment))
    else:
        service = Service(await forked(SERVE[1:], folder, environment))
    try:
        await service.listening()
        yield service
    finally:
        await service.stop()


def answer_of(frames: list[dict[str, Any]]) -> str:
    return "".join(frame["content"] for frame in frames if frame["type"] == "word")


def of_run(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The frames that belong to a run."""
    return [frame for frame in frames if "seq" in frame and frame["type"] != "snapshot"]
