"""The figures of a running service: measured, kept apart by time, open to operators only."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.e2e.service import Service, running
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETTINGS = {"MODEL_FALLBACKS": "none", "PROVIDER_MAX_RETRIES": 0}
QUESTION = "How would a treasurer put loans without collateral to use in a quiet week?"  # one that is not curated
TOKEN = "operations-token-0123456789"
PAGES = (
    "/health-status", "/system-metrics", "/performance-stats", "/agent-stats", "/session/stats", "/ws/stats",
    "/rate-limit/status", "/dashboard", "/dashboard/events",
)  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """Where sign-in is required, and operators have a token."""
    settings = {"AUTH_REQUIRED": "true", "OPERATIONS_TOKEN": TOKEN}
    async with running(tmp_path_factory.mktemp("guarded"), settings) as service:
        yield service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def public(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """In production, behind a proxy, without a token."""
    settings = {"ENVIRONMENT": "production", "SECRET_KEY": "x" * 40, "TRUSTED_PROXIES": "127.0.0.1"}
    async with running(tmp_path_factory.mktemp("public"), settings) as service:
        yield service


async def told(service: Service, path: str) -> Any:
    async with service.client() as client:
        return (await client.get(path)).raise_for_status().json()


async def head(service: Service, path: str, **headers: str) -> httpx.Response:
    async with service.client() as client, client.stream("GET", path, headers=headers) as response:
        return response


class Events:
    """The dashboard's stream, event by event."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()

    async def next(self, name: str) -> dict[str, Any]:
        """The next event of that name."""
        seen = ""
        async for line in self._lines:
            if line.startswith("event: "):
                seen = line.removeprefix("event: ")
            elif line.startswith("data: ") and seen == name:
                found: dict[str, Any] = json.loads(line.removeprefix("data: "))
                return found
        raise AssertionError(f"the stream ended without a {name}")


async def test_what_was_asked_is_what_the_figures_say(shared: Service, scripted: ModelServer) -> None:
    before = await told(shared, "/agent-stats")
    earlier = (await told(shared, "/performance-stats"))["windows"]["1h"]
    scripted.tokens(["A ", "flash ", "loan ", "is ", "short."], gap=0.02)
    async with shared.client() as client, shared.socket() as socket:
        for again in ("Now", "Later"):
            await client.post("/ask", json={"question": f"{again}: {QUESTION}"})
        await socket.ask(QUESTION)
    lately = await told(shared, "/performance-stats")
    window, after = lately["windows"]["1h"], await told(shared, "/agent-stats")
    assert set(lately["windows"]) == {"1m", "5m", "1h"}
    assert window["questions"] - earlier["questions"] == 3
    assert after["questions_total"] - before["questions_total"] == 3
    assert sum(window["outcomes"].values()) - sum(earlier["outcomes"].values()) == 3
    assert window["run_seconds"]["count"] - earlier["run_seconds"]["count"] == 3
    assert window["run_seconds"]["p50"] >= 0.08
    assert 0 < window["first_token_seconds"]["p50"] <= window["run_seconds"]["p99"]
    assert window["inter_token_seconds"]["count"] - earlier["inter_token_seconds"]["count"] >= 6
    assert window["completion_tokens"] > earlier["completion_tokens"]
    assert after["completion_tokens_total"] > before["completion_tokens_total"]
    assert (after["provider"], after["providers"]["openai"]["circuit"]) == ("openai", "closed")
    assert "search_knowledge_base" in after["tools"]


async def test_health_is_measured_part_by_part(shared: Service, scripted: ModelServer) -> None:
    async with shared.client() as client:
        await client.post("/ask", json={"question": QUESTION})
    body = await told(shared, "/health-status")
    assert set(body) == {"status", "health_score", "components", "metrics"}
    assert set(body["components"]) == {"agent", "embeddings", "cache", "database", "model", "websocket"}
    assert {"active_sessions", "cache_hit_rate", "avg_response_time"} <= set(body["metrics"])
    for part in ("database", "embeddings"):
        assert body["components"][part]["score"] == 100
        assert 0 < body["components"][part]["seconds"] < 2
    assert body["metrics"]["avg_response_time"] > 0


async def test_a_model_that_fails_is_seen_everywhere(shared: Service, scripted: ModelServer) -> None:
    scripted.status(400, body={"error": {"message": "no"}})
    named = {"X-Request-ID": "seen-again"}
    async with shared.client() as client:
        refused = await client.post("/ask", json={"question": f"So: {QUESTION}"}, headers=named)
    assert refused.status_code == 503
    window = (await told(shared, "/performance-stats"))["windows"]["1m"]
    assert window["outcomes"]["provider_unavailable"] >= 1
    assert window["error_rate"] > 0
    assert window["server_errors"] >= 1
    assert (await told(shared, "/health-status"))["components"]["model"]["status"] == "degraded"
    async with shared.client() as client, client.stream("GET", "/dashboard/events") as response:
        errors = (await Events(response).next("frame"))["errors"]
    (fault,) = [error for error in errors if error["request_id"] == "seen-again"]
    assert (fault["kind"], fault["where"], fault["fault"]) == ("provider_unavailable", "/ask", True)
    assert fault["run_id"]
    assert QUESTION not in json.dumps(errors)


async def test_a_refused_frame_is_seen_with_its_connection(shared: Service, scripted: ModelServer) -> None:
    async with shared.socket(additional_headers={"X-Request-ID": "a-socket"}) as socket:
        await socket.hello()
        for _ in range(2):
            await socket.send(type="nothing")
            await socket.until(type="error")
    async with shared.client() as client, client.stream("GET", "/dashboard/events") as response:
        errors = (await Events(response).next("frame"))["errors"]
    (refused,) = [error for error in errors if error["request_id"] == "a-socket"]
    assert (refused["where"], refused["count"], refused["fault"]) == ("websocket", 2, False)


async def test_the_machine_is_told_of(shared: Service) -> None:
    body = await told(shared, "/system-metrics")
    assert body["memory_usage_bytes"] > 50_000_000
    assert body["cpu_count"] >= 1
    assert body["disk_free_bytes"] > 0
    assert body["uptime_seconds"] > 0


async def test_the_dashboard_is_sent_the_past_and_then_frame_after_frame(shared: Service) -> None:
    async with shared.client() as client, client.stream("GET", "/dashboard/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = Events(response)
        assert "points" in await events.next("history")
        first, second = await events.next("frame"), await events.next("frame")
    assert set(first) == {"at", "health", "system", "agent", "windows", "points", "errors"}
    assert 1 <= second["at"] - first["at"] < 20


@pytest.mark.parametrize("path", PAGES)
async def test_operators_show_their_token_and_a_browser_is_asked_for_it(path: str, guarded: Service) -> None:
    for wrong in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {_basic('wrong')}"}):
        refused = await head(guarded, path, **wrong)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith('Basic realm="')
    for right in (f"Bearer {TOKEN}", f"Basic {_basic(TOKEN)}"):
        assert (await head(guarded, path, Authorization=right)).status_code == 200


@pytest.mark.parametrize("path", PAGES)
async def test_without_a_token_production_answers_near_callers_only(path: str, public: Service) -> None:
    assert (await head(public, path, **{"X-Forwarded-For": "8.8.8.8"})).status_code == 403
    assert (await head(public, path, **{"X-Forwarded-For": "10.0.0.9"})).status_code == 200


async def test_who_watches_is_let_go_when_the_service_ends(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with running(tmp_path_factory.mktemp("ending")) as service, service.client() as client:
        async with client.stream("GET", "/dashboard/events") as response:
            lines = response.aiter_lines()
            await anext(lines)
            service.terminate()
            async for _ in lines:
                pass
        assert await service.stop() == 0


async def test_every_figure_is_described_with_an_example(shared: Service) -> None:
    schema = await told(shared, "/openapi.json")
    for path in PAGES[:-2]:
        content = schema["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
        model = schema["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        (example,) = model["examples"]
        assert set(example) == set(model["properties"]) == set(await told(shared, path))


def _basic(password: str) -> str:
    return b64encode(f"operator:{password}".encode()).decode()
