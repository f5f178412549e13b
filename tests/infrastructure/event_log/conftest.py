"""Both logs, for what they have to do alike."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from infrastructure.event_log.memory import MemoryEventLog
from tests.infrastructure.event_log.workers import Log, MakeLog, worker


@pytest_asyncio.fixture(params=["memory", "redis"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[MakeLog]:
    """Makes a log of either kind, with the options that both have."""
    url = request.getfixturevalue("redis_url") if request.param == "redis" else ""
    async with AsyncExitStack() as stack:

        async def make(**options: Any) -> Log:
            if request.param == "memory":
                return MemoryEventLog(**options)
            return (await stack.enter_async_context(worker(url, f"test:{uuid4().hex}:", **options))).log

        yield make


@pytest_asyncio.fixture
async def log(make: MakeLog) -> Log:
    log: Log = await make()
    return log


@pytest.fixture
def prefix() -> str:
    """Keys of a test's own on the server that all share."""
    return f"test:{uuid4().hex}:"


@pytest.fixture
def nothing_out_of_place() -> Iterator[None]:
    """What goes wrong inside is mended in the end, and would not be seen."""
    with capture_logs() as logs:
        yield
    assert [line for line in logs if line["log_level"] == "error"] == []
