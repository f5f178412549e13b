"""Services for the end-to-end tests: one without a model for all, one with the scripted model for each test."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.service import Service, running
from tests.model_server import ModelServer

Start = Callable[..., AbstractAsyncContextManager[Service]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """The service as it comes: no key, the shipped knowledge."""
    async with running(tmp_path_factory.mktemp("embedded")) as service:
        yield service


@pytest_asyncio.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest_asyncio.fixture
async def start(tmp_path: Path, model: ModelServer) -> AsyncIterator[Callable[..., Any]]:
    """Start a service that asks the scripted model; settings may be given by name."""
    async with AsyncExitStack() as stack:

        async def begin(**settings: Any) -> Service:
            base = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "sk-canary-1234567890", "OPENAI_MODEL": "scripted"}
            return await stack.enter_async_context(running(tmp_path, base | settings))

        yield begin
