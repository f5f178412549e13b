"""The service as several workers over one PostgreSQL and one Redis: on ports of their own, or on one port."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import psutil

from tests.benchmarks.peers import free_port
from tests.e2e.service import Service, running
from tests.workers.oracle import Model

WAIT_SECONDS = 60.0
POLL_SECONDS = 0.05
KNOWLEDGE = "# Ledgers\n\nA ledger is a book of accounts. A page of it is balanced when its two sums are the same.\n"
SETTINGS = {
    "SECRET_KEY": "the same for all workers of this test, and long enough",
    "WS_MAX_CONNECTIONS_PER_ADDRESS": 20_000,
    "RATE_LIMIT_REQUESTS_PER_MINUTE": 10_000_000,
    "MAX_ACTIVE_RUNS": 5_000,
    "DATABASE_POOL_SIZE": 10,
}


class Fleet(Protocol):
    """Workers that may die and come back. `urls` stay what they are."""

    @property
    def urls(self) -> Sequence[str]: ...

    async def kill(self, chance: random.Random) -> None:
        """kill -9 one of them."""

    async def back(self) -> None:
        """Returns when as many workers as before are ready."""

    async def roll(self) -> None:
        """Restart all, one after the other, as an operator would."""

    def logs(self) -> list[dict[str, Any]]: ...


def settings(database: str, redis: str | None, model: Model, folder: Path, **more: Any) -> dict[str, Any]:
    """What every worker of one service is given."""
    knowledge = folder / "knowledge"
    knowledge.mkdir(exist_ok=True)
    (knowledge / "ledgers.md").write_text(KNOWLEDGE)
    shared: Mapping[str, Any] = {"DATABASE_URL": database, "KNOWLEDGE_DIR": knowledge, **SETTINGS, **model.settings}
    return {**shared, **({"REDIS_URL": redis} if redis else {}), **more}


async def until(happened: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
    """Look again and again: for what another process does, which tells nobody."""
    try:
        async with asyncio.timeout(seconds):
            while not happened():  # noqa: ASYNC110  nothing here is told of it
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"waited in vain: {what}") from None


class Ports:
    """`count` services, each on a port and with a data folder of its own."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], count: int = 2) -> None:
        self._settings = settings
        self._ports = [free_port() for _ in range(count)]
        self._folders = [folder / f"worker-{number}" for number in range(count)]
        for one in self._folders:
            one.mkdir()
        self.urls = [f"http://127.0.0.1:{port}" for port in self._ports]
        self._stacks: list[AsyncExitStack | None] = [None] * count
        self._ended: list[Service] = []
        self.services: list[Service | None] = [None] * count

    async def start(self, number: int) -> None:
        stack = AsyncExitStack()
        given = {**self._settings, "PORT": self._ports[number]}
        self.services[number] = await stack.enter_async_context(running(self._folders[number], given, anew=True))
        self._stacks[number] = stack

    async def end(self, number: int) -> None:
        """SIGTERM, if it still lives, and wait for its end."""
        stack, service = self._stacks[number], self.services[number]
        self._stacks[number] = self.services[number] = None
        if stack is not None:
            await stack.aclose()
        if service is not None:
            self._ended.append(service)

    def service(self, number: int) -> Service:
        service = self.services[number]
        assert service is not None, f"worker {number} is not there"
        return service

    async def kill(self, chance: random.Random) -> None:
        await self.kill_one(chance.randrange(len(self.urls)))

    async def kill_one(self, number: int) -> None:
        service = self.service(number)
        service.process.kill()
        await service.process.wait()

    async def back(self) -> None:
        dead = [number for number, one in enumerate(self.services) if one is None or one.process.returncode is not None]
        for number in dead:
            await self.end(number)
        await asyncio.gather(*(self.start(number) for number in dead))

    async def roll(self) -> None:
        for number in range(len(self.urls)):
            service = self.service(number)
            await self.end(number)
            assert service.process.returncode == 0, f"a worker ended with {service.process.returncode}"
            await self.start(number)

    def logs(self) -> list[dict[str, Any]]:
        return [line for one in (*self._ended, *self.services) if one is not None for line in one.log]


class OnePort:
    """One service whose parent keeps `count` workers on its port."""

    def __init__(self, service: Service, count: int) -> None:
        self._service = service
        self._count = count
        self._parent = psutil.Process(service.pid)
        self._readies = count
        self.urls = [service.url]

    @property
    def pid(self) -> int:
        return self._service.pid

    @property
    def port(self) -> int:
        return self._service.port

    def workers(self) -> list[psutil.Process]:
        """Its workers: its children that share its command, and no helper process of Python's."""
        found = []
        for child in self._parent.children():
            try:
                if "resource_tracker" not in " ".join(child.cmdline()) and child.status() != psutil.STATUS_ZOMBIE:
                    found.append(child)
            except psutil.Error:  # it has just ended
                continue
        return found

    async def ready(self) -> None:
        await until(lambda: self._said("ready") >= self._readies, f"{self._readies} times ready")

    def _said(self, event: str) -> int:
        return sum(line.get("event") == event for line in self._service.log)

    async def kill(self, chance: random.Random) -> None:
        worker = chance.choice(self.workers())
        worker.send_signal(signal.SIGKILL)
        self._readies += 1

    async def back(self) -> None:
        await self.ready()

    async def roll(self) -> None:
        before = {worker.pid for worker in self.workers()}
        self._readies += self._count
        os.kill(self._service.pid, signal.SIGHUP)
        await self.ready()
        await until(lambda: not before & {one.pid for one in self.workers()}, "the old workers' end")

    def logs(self) -> list[dict[str, Any]]:
        return self._service.log


def complaints(log: Sequence[Mapping[str, Any]]) -> str:
    """What workers warned of, each kind with how often and the first of them."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for line in log:
        if line.get("level") in ("warning", "error", "critical"):
            found.setdefault(str(line["event"]), []).append(line)
    return "\n".join(f"{len(lines)} times {name}: {_shown(lines[0])}" for name, lines in found.items())


def _shown(line: Mapping[str, Any]) -> str:
    """A line with the end of its exception, which says where it was."""
    exception = str(line.get("exception", ""))
    return f"{ {name: value for name, value in line.items() if name != 'exception'} } {exception[-12000:]}"


@contextmanager
def telling(fleet: Fleet) -> Iterator[None]:
    """Where the block fails, print what the workers complained of."""
    try:
        yield
    except BaseException:
        print(f"\nthe workers' complaints:\n{complaints(fleet.logs())}")  # noqa: T201  for whoever reads of the failure
        raise


@asynccontextmanager
async def ports(folder: Path, settings: Mapping[str, Any], count: int = 2) -> AsyncIterator[Ports]:
    fleet = Ports(folder, settings, count)
    try:
        await fleet.back()
        with telling(fleet):
            yield fleet
    finally:
        for number in range(count):
            await fleet.end(number)


@asynccontextmanager
async def one_port(folder: Path, settings: Mapping[str, Any], count: int = 2) -> AsyncIterator[OnePort]:
    async with running(folder, {**settings, "WEB_CONCURRENCY": count}) as service:
        fleet = OnePort(service, count)
        await fleet.ready()
        with telling(fleet):
            yield fleet


Opener = Callable[[Path, Mapping[str, Any]], AbstractAsyncContextManager[Fleet]]
FLEETS: Mapping[str, Opener] = {"two ports": ports, "one port": one_port}
