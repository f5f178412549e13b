from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from infrastructure.providers.circuit import Circuit
from infrastructure.providers.fair_line import FairLine
from infrastructure.providers.guarded import Care, Gate, GuardedModel
from infrastructure.providers.openai import OpenAIProvider
from infrastructure.providers.retry import Backoff
from infrastructure.providers.timeouts import Timeouts
from tests.model_server import ModelServer

MakeProvider = Callable[..., GuardedModel]


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture
def pauses() -> list[float]:
    """The pauses between tries, which are noted and not slept."""
    return []


@pytest.fixture
async def make_provider(server: ModelServer, pauses: list[float]) -> AsyncIterator[MakeProvider]:
    """Providers for the scripted server: quick to give up, and without pauses."""

    async def note(seconds: float) -> None:
        pauses.append(seconds)

    async with AsyncExitStack() as stack:

        def make(**options: Any) -> GuardedModel:
            times = {"connect": 1.0, "first_event": 5.0, "between_events": 5.0, "total": 60.0, "tail": 0.05}
            times |= options.pop("times", {})
            defaults = {
                "base_url": server.url,
                "api_key": "sk-secret",
                "model": "scripted",
                "timeouts": Timeouts(**times),
            }
            care = Care(
                options.pop("max_retries", 2), times["total"], Backoff(jitter=lambda: 1.0), options.pop("sleep", note)
            )
            gate = options.pop("gate", None) or Gate(Circuit(), FairLine(64))
            provider = GuardedModel(OpenAIProvider(**(defaults | options)), gate, care)
            stack.push_async_callback(provider.aclose)
            return provider

        yield make


@pytest.fixture
def provider(make_provider: MakeProvider) -> GuardedModel:
    return make_provider()
