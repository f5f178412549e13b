"""Keys go to their endpoint and nowhere else: whatever goes wrong there, and whatever it says of them.

Every provider has keys of its own, some in the address itself. The far end answers with all that it was sent: in
bodies, headers, statuses, events and addresses. Then all that the service says is looked through: answers and frames,
errors, logs at their finest, metrics, health, traces.
"""

import base64
import json
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import pytest_asyncio
from aiohttp import web

from tests.e2e.service import ROOT, Service, running
from tests.e2e.test_settings_at_start import askgraph
from tests.infrastructure.providers.sign_in import SignIn
from tests.model_server import ModelServer
from tests.model_wire import STREAM_HEAD, Exchange, sse

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUESTION = "What is a liquidation threshold?"
# Words that no rule for hiding secrets knows by their look.
KEYS = {
    name: f"canary{name.replace('_', '').lower()}0123456789abcdef"
    for name in ("OPENAI_API_KEY", "AIHUB_PASSWORD", "AIHUB_CLIENT_SECRET", "EMBEDDINGS_API_KEY", "RERANKER_API_KEY",
                 "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY", "SECRET_KEY", "LANGFUSE_PUBLIC_KEY",
                 "LANGFUSE_SECRET_KEY")
}  # fmt: skip
HUB_TOKEN, OLLAMA_PASSWORD, LOCAL_PASSWORD, OTLP_KEY = (
    f"canary{name}0123456789abcdef" for name in ("hubtoken", "ollama", "local", "otlp")
)
SOURCES = ("openai", "aihub", "ollama", "local")
PAGES = ("/metrics", "/health", "/health/ready", "/health-status", "/agent-stats", "/session/stats", "/ws/stats",
         "/api/v1/models/status", *(f"/api/v1/models/list?mode={name}" for name in SOURCES), "/v1/models",
         "/openapi.json")  # fmt: skip


def encoded(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


CANARIES = (
    *KEYS.values(), HUB_TOKEN, OLLAMA_PASSWORD, LOCAL_PASSWORD, OTLP_KEY,
    encoded("user", OLLAMA_PASSWORD), encoded("user", LOCAL_PASSWORD),
    encoded("hub", KEYS["AIHUB_CLIENT_SECRET"]),
    encoded(KEYS["LANGFUSE_PUBLIC_KEY"], KEYS["LANGFUSE_SECRET_KEY"]),
)  # fmt: skip


def of(exchange: Exchange) -> str:
    """All that the far end was sent of keys."""
    return exchange.request.headers.get("authorization", "none")


async def as_status(exchange: Exchange, status: int, headers: Mapping[str, str] | None = None) -> None:
    error = {"message": of(exchange), "code": of(exchange), "type": of(exchange).lower(), "param": of(exchange)}
    await exchange.json({"error": error, "detail": of(exchange)}, status, headers)


def status(number: int, **headers: str) -> Callable[[Exchange], Any]:
    return lambda exchange: as_status(exchange, number, headers)


async def as_redirect(exchange: Exchange) -> None:
    await as_status(exchange, 307, {"location": f"http://127.0.0.1:9/?key={of(exchange)}"})


async def as_retry_after(exchange: Exchange) -> None:
    await as_status(exchange, 429, {"retry-after": of(exchange), "x-request-id": of(exchange)})


async def as_html(exchange: Exchange) -> None:
    await exchange.plain(f"<html>{of(exchange)}".encode(), 200, {"content-type": f"text/html; a={of(exchange)}"})


async def as_event(exchange: Exchange) -> None:
    await streamed(exchange, sse({"error": {"message": of(exchange), "code": of(exchange)}}))


async def as_broken_json(exchange: Exchange) -> None:
    await streamed(exchange, f"data: {{{of(exchange)}\n\n".encode())


async def as_broken_chunk(exchange: Exchange) -> None:
    await exchange.write(STREAM_HEAD + of(exchange).encode() + b"\r\n")


async def as_broken_head(exchange: Exchange) -> None:
    await exchange.write(f"HTTP/1.1 {of(exchange)}\r\n\0{of(exchange)}: \r\n\r\n".encode())
    exchange.close()


async def as_finish_reason(exchange: Exchange) -> None:
    await streamed(exchange, sse({"choices": [{"delta": {}, "finish_reason": of(exchange)}]}))


async def as_usage(exchange: Exchange) -> None:
    await streamed(exchange, sse({"choices": [], "usage": of(exchange), "model": of(exchange), "id": of(exchange)}))


async def as_tool(exchange: Exchange) -> None:
    if exchange.request.body["messages"][-1]["role"] == "tool":
        return await as_status(exchange, 500)
    call = {"index": 0, "id": "c", "function": {"name": of(exchange).replace(" ", ""), "arguments": of(exchange)}}
    return await streamed(
        exchange, sse({"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]})
    )


async def as_cut(exchange: Exchange) -> None:
    await exchange.write(STREAM_HEAD)
    exchange.reset()


async def as_silence(exchange: Exchange) -> None:
    await exchange.gone()


async def streamed(exchange: Exchange, event: bytes) -> None:
    await exchange.write(STREAM_HEAD)
    await exchange.chunk(event)
    exchange.close()


FAULTS: dict[str, Callable[[Exchange], Any]] = {
    **{str(number): status(number) for number in (400, 401, 403, 404, 429, 500, 503)},
    "redirect": as_redirect, "retry-after": as_retry_after, "html": as_html, "event": as_event,
    "broken json": as_broken_json, "broken chunk": as_broken_chunk, "broken head": as_broken_head,
    "finish reason": as_finish_reason, "usage": as_usage, "tool": as_tool, "cut": as_cut, "silence": as_silence,
}  # fmt: skip


class Sink:
    """Where traces go: it keeps what it is sent, without the headers."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        return web.Response()


class Told:
    """A service with all its keys, and all that it says."""

    def __init__(self, service: Service, client: httpx.AsyncClient, model: ModelServer, sink: Sink) -> None:
        self.service = service
        self.client = client
        self.model = model
        self.sink = sink
        self.said: list[str] = []

    async def ask(self, method: str, path: str, **body: Any) -> httpx.Response:
        response = await self.client.request(method, path, json=body or None)
        self.said.append(f"{path} {response.status_code} {response.headers} {response.text}")
        return response


@asynccontextmanager
async def telling(folder: Path, **more: Any) -> AsyncIterator[Told]:
    async with ModelServer() as model, SignIn() as hub, Sink() as sink:
        hub.answers = [(200, {"access_token": HUB_TOKEN, "token_type": "Bearer", "expires_in": 300})] * 100
        port = model.url.removeprefix("http://")
        knowledge = folder / "knowledge"
        knowledge.mkdir()
        shutil.copy(ROOT / "knowledge" / "defi" / "lending.md", knowledge)
        settings = KEYS | {
            "MODEL_PROVIDER": "openai", "OPENAI_BASE_URL": model.url, "OPENAI_MODEL": "scripted",
            "AIHUB_URL": model.url, "AIHUB_USERNAME": "someone", "AIHUB_CLIENT_ID": "hub",
            "AIHUB_KEYCLOAK_HOST": f"{hub.url}/realms/hub",
            "OLLAMA_BASE_URL": f"http://user:{OLLAMA_PASSWORD}@{port}", "OLLAMA_CHAT_MODEL": "scripted",
            "LOCAL_MODEL_URL": f"http://user:{LOCAL_PASSWORD}@{port}", "LOCAL_MODEL": "scripted",
            "AGENT_EMBEDDING_MODEL": "openai:embedder", "EMBEDDINGS_BASE_URL": model.url, "KNOWLEDGE_DIR": knowledge,
            "RERANKER": "http", "RERANKER_BASE_URL": model.url, "RERANKER_MODEL": "ranker",
            "LANGFUSE_HOST": sink.url, "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={OTLP_KEY}", "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true",
            "MODEL_CHOICES": "*", "MODEL_FALLBACKS": "none", "PROVIDER_MAX_RETRIES": 1, "CIRCUIT_OPEN_SECONDS": 0.001,
            "PROVIDER_FIRST_BYTE_TIMEOUT_SECONDS": 0.3, "LOG_LEVEL": "DEBUG",
        }  # fmt: skip
        async with running(folder, settings | more) as service, service.client() as client:
            yield Told(service, client, model, sink)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Told]:
    async with telling(tmp_path_factory.mktemp("keys")) as told:
        yield told


SHOWN = {
    "openai": f"Bearer {KEYS['OPENAI_API_KEY']}",
    "aihub": f"Bearer {HUB_TOKEN}",
    "ollama": f"Basic {encoded('user', OLLAMA_PASSWORD)}",
    "local": f"Basic {encoded('user', LOCAL_PASSWORD)}",
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_that_repeats_the_key_is_told_without_it(name: str, told: Told) -> None:
    told.model.clear()
    told.model.script(FAULTS[name])
    for source in SOURCES:
        told.model.requests.clear()
        answer = await told.ask("POST", "/api/v1/chat", message=QUESTION, model_source=source)
        assert answer.status_code in (502, 503), (source, answer.text)
        assert told.model.requests[0].headers["authorization"] == SHOWN[source], "the far end has the key"
    check(told)


async def test_frames_and_openais_shape_hold_no_key_either(told: Told) -> None:
    for name in ("401", "event", "broken chunk", "tool"):
        told.model.clear()
        told.model.script(FAULTS[name])
        async with told.service.socket() as socket:
            told.said.append(json.dumps(await socket.hello()))
            told.said.append(json.dumps(await socket.ask(QUESTION)))
        for stream in (False, True):
            for model in ("askgraph", *(f"{source}/scripted" for source in SOURCES)):
                if name == "tool" and model != "askgraph":
                    continue  # a bare model's calls are for the client, as they are
                messages = [{"role": "user", "content": QUESTION}]
                await told.ask("POST", "/v1/chat/completions", model=model, messages=messages, stream=stream)
    check(told)


async def test_the_pages_and_traces_of_it_all_hold_no_key(told: Told) -> None:
    """Last, behind all that went wrong in this file."""
    for page in PAGES:
        await told.ask("GET", page)
    check(told)
    assert told.sink.bodies, "there are traces"
    assert any(QUESTION.encode() in body for body in told.sink.bodies), "with what was asked"
    for body in told.sink.bodies:
        assert [canary for canary in CANARIES if canary.encode() in body] == []


def check(told: Told) -> None:
    said = (*told.said, *told.service.raw)
    told.said.clear()
    assert [text for text in said for canary in CANARIES if canary in text] == []
    assert [line for line in told.service.log if line.get("level") in ("error", "critical")] == []


@pytest.mark.parametrize("name", ["OPENAI_BASE_URL", "AIHUB_URL", "EMBEDDINGS_BASE_URL", "RERANKER_BASE_URL"])
async def test_an_address_with_a_password_beside_a_key_is_refused_at_the_start(name: str, tmp_path: Path) -> None:
    settings = {
        **{key: KEYS[key] for key in ("OPENAI_API_KEY", "RERANKER_API_KEY")}, "AIHUB_CLIENT_ID": "hub",
        "AIHUB_URL": "http://hub.example/v1", "AIHUB_KEYCLOAK_HOST": "http://id.example/realms/hub",
        name: f"http://user:{OLLAMA_PASSWORD}@model.example/v1",
    }  # fmt: skip
    code, out, err = await askgraph(tmp_path, "serve", settings=settings)
    assert code == 2
    assert f"{name} holds a user name" in err
    assert [canary for canary in CANARIES if canary in out + err] == []


@pytest.mark.slow
async def test_a_langchain_models_key_stays_inside_too(tmp_path: Path) -> None:
    async with telling(tmp_path, MODEL_PROVIDER="langchain") as told:
        for name, fault in FAULTS.items():
            told.model.clear()
            told.model.requests.clear()
            told.model.script(fault)
            answer = await told.ask("POST", "/ask", question=QUESTION)
            assert answer.status_code in (502, 503), (name, answer.text)
            assert told.model.requests[0].headers["authorization"] == SHOWN["openai"]
        check(told)
