"""The models as the settings have them, over real HTTP; and the routes that tell of them."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from backend.models import Models, make_models
from backend.routers import models as routes
from backend.schemas.models import ModelPull
from backend.settings import Settings
from infrastructure.error_handlers import install_error_handlers
from infrastructure.errors import InvalidInput, ProviderUnavailable
from infrastructure.monitoring import Metrics
from infrastructure.providers.types import Usage
from tests.agents.fakes import extractive
from tests.infrastructure.providers.asking import Heard, question
from tests.infrastructure.providers.sign_in import SignIn
from tests.model_server import ModelServer
from tests.model_wire import sse

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name not in ("PATH", "HOME") and not name.startswith(("PYTEST", "COV", "COVERAGE")):
            monkeypatch.delenv(name)


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@dataclass
class Room:
    """What the routes take from the container."""

    models: Models
    metrics: Metrics

    @property
    def model(self) -> Any:
        return self.models.model

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    async def get(self, path: str) -> httpx.Response:
        app = FastAPI()
        app.state.container = self
        install_error_handlers(app, lambda kind: None)
        app.include_router(routes.router)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service.test") as client:
            return await client.get(f"/api/v1/models/{path}")


@asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[Room]:
    metrics = Metrics("0")
    async with AsyncExitStack() as stack:
        known = Settings(_env_file=None, **settings)
        yield Room(make_models(known, extractive(), metrics, stack), metrics)


async def test_with_nothing_set_there_is_the_one_that_needs_no_model() -> None:
    async with opened(ollama_base_url=NOWHERE) as room:
        assert room.models.model is room.models.extractive is room.models.book.choose()
        offers = [str(offer) for offer in room.models.book.catalogue()]
        assert offers == ["extractive/extractive", "ollama/llama3.2"]  # an Ollama that is named may be asked
        assert (await room.get("list")).json() == {
            "mode": "extractive", "models": [{"name": "extractive", "capability": "chat", "default": True}]
        }  # fmt: skip
        assert (await room.get("list?mode=openai")).json() == {"mode": "openai", "models": []}
        status = (await room.get("status")).json()
        away = {"available": False, "latency_ms": None, "detail": "It is not configured."}
        assert status == dict.fromkeys(("openai", "aihub", "local"), away) | {
            "ollama": away | {"detail": "It cannot be reached."}
        }
        room.models.on_call("extractive", "ok")
        assert room.value("provider_requests_total", provider="extractive", outcome="ok") == 1.0


async def test_a_chain_of_providers_answers_counts_and_shows_its_circuits(server: ModelServer) -> None:
    settings = {
        "openai_base_url": f"{NOWHERE}/v1", "local_model_url": server.url, "local_model": "smol",
        "model_fallbacks": "local,extractive", "provider_max_retries": 0, "provider_connect_timeout_seconds": 1.0,
    }  # fmt: skip
    async with opened(**settings) as room:
        assert room.value("provider_circuit_state", provider="openai") == 0.0
        replies = [await room.model.stream(question(), Heard()) for _ in range(7)]
        assert {(reply.text, reply.model) for reply in replies} == {("Hello from the model.", "smol")}
        assert room.value("provider_requests_total", provider="openai", outcome="provider_unavailable") == 5.0
        assert room.value("provider_requests_total", provider="openai", outcome="circuit_open") == 2.0
        assert room.value("provider_requests_total", provider="local", outcome="ok") == 7.0
        assert room.value("provider_circuit_state", provider="openai") == 2.0
        assert room.value("provider_circuit_state", provider="local") == 0.0
        assert room.metrics.last_call == "ok"
        room.models.on_call("openai", "ok")  # what a gate counts is not counted again
        assert room.value("provider_requests_total", provider="openai", outcome="ok") is None
        with pytest.raises(ProviderUnavailable):
            await room.models.book.choose(alone=True).stream(question(), Heard())


async def test_what_is_chosen_is_asked_with_the_chain_behind_it(server: ModelServer) -> None:
    settings = {
        "openai_base_url": server.url, "openai_model": "small", "model_choices": "openai/*",
        "model_fallbacks": "openai/small",
    }  # fmt: skip
    async with opened(**settings) as room:
        server.status(401)
        server.reply("The small one answers.")
        reply = await room.models.book.choose(None, "large").stream(question(), Heard())
        assert (reply.model, reply.text) == ("small", "The small one answers.")
        assert [request.body["model"] for request in server.requests] == ["large", "small"]
        with pytest.raises(InvalidInput):
            room.models.book.choose("ollama", "llama3.2")


async def test_names_that_a_server_or_a_caller_makes_up_make_no_series(server: ModelServer) -> None:
    async with opened(openai_base_url=server.url, openai_model="small", model_fallbacks="none") as room:
        used = Usage(3, 4)
        for name in ("small", "extractive", *(str(uuid4()) for _ in range(1000))):
            room.metrics.run_finished("complete", 0.1, 0.9, name, used)
        named = {name: room.value("agent_tokens_total", kind="prompt", model=name) for name in ("small", "other")}
        assert named == {"small": 3.0, "other": 3000.0}
    async with opened(openai_base_url=server.url, openai_model="small", model_choices="openai/gpt-*") as room:
        echo = {"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}], "model": "made-up"}
        server.body(sse(echo) + b"data: [DONE]\n\n")
        reply = await room.models.book.choose("openai", "gpt-9").stream(question(), Heard())
        assert reply.model == "gpt-9"  # what was asked for, whatever the server calls itself
        for name in (reply.model, "made-up"):
            room.metrics.run_finished("complete", 0.1, 0.9, name, used)
        assert room.value("agent_tokens_total", kind="prompt", model="gpt-9") == 3.0
        assert room.value("agent_tokens_total", kind="prompt", model="made-up") is None


async def test_a_hub_signs_in_and_lists_its_models() -> None:
    async with SignIn() as hub:
        settings = {
            "aihub_url": f"{hub.url}/v1", "aihub_keycloak_host": hub.token_url, "aihub_client_id": "askgraph",
            "aihub_client_secret": "secret", "aihub_username": "ada", "aihub_password": "pw", "aihub_model": "vikhr",
            "ollama_base_url": NOWHERE,
        }  # fmt: skip
        async with opened(**settings) as room:
            assert (await room.model.stream(question(), Heard())).model == "vikhr"
            assert (await room.get("list?mode=aihub")).json()["models"] == [
                {"name": "arctic-embed", "capability": "embedding", "default": False},
                {"name": "vikhr", "capability": "chat", "default": True},
            ]
            status = (await room.get("status")).json()["aihub"]
        assert (status["available"], status["detail"], len(hub.forms)) == (True, "ok", 1)
        assert status["latency_ms"] > 0


async def test_a_provider_that_does_not_answer_is_listed_as_it_is_configured(server: ModelServer) -> None:
    async with opened(openai_base_url=server.url, openai_model="scripted", ollama_chat_model="llama3.2",
                      ollama_base_url=NOWHERE) as room:  # fmt: skip
        listed = {"capability": "chat", "default": True}
        assert (await room.get("list")).json() == {"mode": "openai", "models": [{"name": "scripted", **listed}]}
        assert (await room.get("list?mode=ollama")).json()["models"] == [{"name": "llama3.2", **listed}]


async def test_a_mode_that_is_none_is_refused() -> None:
    async with opened(ollama_base_url=NOWHERE) as room:
        refused = await room.get("list?mode=canary")
    assert (refused.status_code, "canary" in refused.text) == (422, False)


async def test_langchain_is_asked_through_the_same_gate() -> None:
    picky = "tests.infrastructure.providers.test_langchain:Picky"
    async with opened(model_provider="langchain", langchain_model_class=picky, model_choices="*") as room:
        reply = await room.model.stream(question(), Heard())
        assert (reply.text, reply.model, room.model.name) == ("x", room.model.model, "langchain")
        assert room.models.book.choose("langchain") is room.model
        assert room.value("provider_requests_total", provider="langchain", outcome="ok") == 1.0
        with pytest.raises(InvalidInput):  # what was loaded is one model
            room.models.book.choose("langchain", "another")
        with pytest.raises(InvalidInput):  # nor is what is not configured there
            room.models.book.choose("openai", "gpt-4o-mini")


@pytest.mark.parametrize(
    "name",
    ["llama3.2", "qwen3:4b", "somebody/model", "somebody/model:1b", "hf.co/some-body/Model-GGUF:Q4_K_M",
     "registry.ollama.ai/library/llama3.2"],
)  # fmt: skip
def test_a_model_to_be_pulled_is_named_as_ollama_names_it(name: str) -> None:
    assert ModelPull(model=name).model == name


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "a\n", "../x", "a/../b", "/a", "a/", "a:", ":a", "10.0.0.7/library/x", "10.0.0.7:80/library/x",
     "evil.example/a/b", "http://evil.example/a", "a@sha256:0", "a/b/c/d", "мodel", "x" * 201, "a\0", "$(x)", "-x"],
)  # fmt: skip
def test_what_is_no_name_or_names_another_host_is_not_pulled(name: str) -> None:
    with pytest.raises(ValidationError):
        ModelPull(model=name)
