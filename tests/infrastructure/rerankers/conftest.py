"""A scripted server for rerankers."""

from collections.abc import AsyncIterator

import pytest

from tests.infrastructure.embedders.scripted import ScriptedServer


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server
