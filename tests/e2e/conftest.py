"""Services for the end-to-end tests: one without a model for all, one with the scripted model for each test."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.service import Service, running
from tests.model_server import ModelServer

API_KEY = "sk-canary-1234567890"
Start = Callable[..., AbstractAsyncContextManager[Service]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """The service as it comes: no key, the shipped knowledge."""
    async with running(tmp_path_factory.mktemp("embedded")) as service:
        yield service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def far_end() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    far_end: ModelServer, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Service]:
    """One service for a module, with the scripted model and the module's SETTINGS. Its tests run in the module's loop:
    `pytestmark = pytest.mark.asyncio(loop_scope="module")`.
    """
    settings = scripted_model(far_end) | getattr(request.module, "SETTINGS", {})
    async with running(tmp_path_factory.mktemp("shared"), settings) as service:
        yield service


@pytest.fixture
def scripted(far_end: ModelServer) -> ModelServer:
    """The model behind `shared`, with nothing left of the test before."""
    far_end.clear()
    far_end.requests.clear()
    return far_end


@pytest_asyncio.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest_asyncio.fixture
async def start(tmp_path: Path, model: ModelServer) -> AsyncIterator[Callable[..., Any]]:
    """Start a service that asks the scripted model; settings may be given by name."""
    async with AsyncExitStack() as stack:

        async def begin(**settings: Any) -> Service:
            return await stack.enter_async_context(running(tmp_path, scripted_model(model) | settings))

        yield begin


def scripted_model(server: ModelServer) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": API_KEY, "OPENAI_MODEL": "scripted"}
