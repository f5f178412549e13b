"""What those who run the service see: health, metrics, tokens, limits, origins."""

from base64 import b64encode
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from tests.e2e.service import Service, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUESTION = "What is a flash loan?"
TOKEN = "operations-token-0123456789"
LIMIT = 30
ALLOWED = "https://chat.example.com"
OPERATIONS = ("/metrics", "/session/stats", "/rate-limit/status")
NAMES = """\
http_requests_total{method,endpoint,status_code} http_request_duration_seconds websocket_connections_total
websocket_active_connections websocket_messages_total{direction,message_type} agent_queries_total
agent_processing_duration_seconds agent_confidence_score active_sessions_total cache_operations_total{operation,result}
system_memory_usage_bytes system_cpu_usage_percent errors_total{type} app_info agent_time_to_first_token_seconds
agent_inter_token_seconds agent_stop_latency_seconds agent_runs_total{outcome} agent_tokens_total{kind,model}
stream_replays_total stream_dropped_subscribers_total citations_rejected_total event_loop_lag_seconds
provider_requests_total{provider,outcome} provider_circuit_state{provider} traces_dropped_total agent_active_runs
agent_runs_taken_over_total{outcome} dependency_available{dependency}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service in production, with a token, a small limit, HTTPS, and a proxy that is trusted."""
    settings = {
        "ENVIRONMENT": "production",
        "SECRET_KEY": "0123456789abcdef0123456789abcdef",
        "OPERATIONS_TOKEN": TOKEN,
        "RATE_LIMIT_REQUESTS_PER_MINUTE": LIMIT,
        "ALLOWED_ORIGINS": ALLOWED,
        "TRUSTED_PROXIES": "127.0.0.1",
        "USE_HTTPS": "true",
    }
    async with running(tmp_path_factory.mktemp("guarded"), settings) as service:
        yield service


def seen_as(address: str, **headers: str) -> dict[str, str]:
    """Headers of a request that came over the proxy from `address`, a caller of its own."""
    return {"X-Forwarded-For": address, "X-Forwarded-Proto": "https", **headers}


async def get(service: Service, path: str, **headers: str) -> httpx.Response:
    async with service.client() as client:
        return await client.get(path, headers=headers)


async def test_health_says_what_it_is(embedded: Service) -> None:
    body = (await get(embedded, "/health")).json()
    assert set(body) == {"status", "agent_loaded", "message", "version", "model"}
    assert (body["status"], body["agent_loaded"], body["model"]) == ("healthy", True, "extractive")
    assert "No model is configured" in body["message"]


async def test_liveness_and_readiness_say_ok(embedded: Service) -> None:
    live, ready = await get(embedded, "/health/live"), await get(embedded, "/health/ready")
    assert (live.status_code, ready.status_code) == (200, 200)
    body = ready.json()
    assert set(body) == {"status", "version", "database", "knowledge_base", "model", "cache"}
    assert (body["status"], body["database"], body["model"]["provider"]) == ("ready", "ok", "extractive")
    assert body["knowledge_base"]["documents"] > 10
    assert body["knowledge_base"]["chunks"] > 100


async def test_every_metric_of_the_contract_is_there(embedded: Service) -> None:
    async with embedded.client() as client:
        await client.post("/ask", json={"question": QUESTION})
        await client.post("/ask", json={})
        text = (await client.get("/metrics")).text
    families = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    labels = {sample.name: set(sample.labels) for family in prometheus(text) for sample in family.samples}
    for name, _, wanted in (entry.partition("{") for entry in NAMES.split()):
        assert name in families, name
        if wanted and name in labels:
            assert labels[name] == set(wanted.rstrip("}").split(","))
    assert {"http_requests_total", "errors_total", "agent_runs_total", "cache_operations_total"} <= set(labels)


async def test_metrics_are_openmetrics_for_those_who_ask(embedded: Service) -> None:
    plain = await get(embedded, "/metrics", Accept="text/plain")
    openly = await get(embedded, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert plain.headers["content-type"].startswith("text/plain; version=")
    assert openly.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert openly.text.endswith("# EOF\n")
    assert len(list(open_metrics(openly.text))) == len(NAMES.split())


async def test_questions_are_counted_over_every_transport(embedded: Service) -> None:
    before = await value(embedded, "agent_queries_total")
    async with embedded.client() as client, embedded.socket() as socket:
        for path in ("/ask", "/v2/ask", "/ask-stream", "/v2/ask-stream"):
            await client.post(path, json={"question": QUESTION})
        await socket.ask(QUESTION)
    assert await value(embedded, "agent_queries_total") == before + 5
    assert await value(embedded, "active_sessions_total") >= 3


async def value(service: Service, name: str) -> float:
    text = (await get(service, "/metrics")).text
    return next(s.value for family in prometheus(text) for s in family.samples if s.name == name and not s.labels)


async def test_strangers_add_no_series(embedded: Service) -> None:
    async def series() -> set[str]:
        text = (await get(embedded, "/metrics")).text
        return {line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")}

    async def stray(number: int) -> None:
        async with embedded.client() as client:
            await client.get(f"/nowhere-{number}/x?y={number}")
            await client.get(f"/runs/unknown-{number}/events")
            await client.request(f"METHOD{number}" if number > 5 else "LOCK", "/ask")
            await client.get("/health", headers={f"X-{number}": "y"})
        async with embedded.socket() as socket:
            await socket.send(type=f"kind-{number}")
            await socket.until(type="error")

    await stray(0)
    before = await series()
    for number in range(1, 6):
        await stray(number)
    assert await series() == before
    assert any('endpoint="unmatched"' in line for line in before)
    assert not any("nowhere" in line or "unknown-" in line or "kind-" in line for line in before)


@pytest.mark.parametrize("path", OPERATIONS)
async def test_operations_pages_need_the_token(path: str, guarded: Service) -> None:
    basic = b64encode(f"anyone:{TOKEN}".encode()).decode()
    caller = seen_as("203.0.113.1")
    for right in (f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Basic {basic}"):
        assert (await get(guarded, path, **caller, Authorization=right)).status_code == 200
    wrong = ["", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN, f"Basic {TOKEN}", "Basic !!!", "Bearer é",
             f"Basic {b64encode(TOKEN.encode()).decode()}", "Basic " + b64encode(b"\xff:\xff").decode()]  # fmt: skip
    for number, value in enumerate(wrong):
        headers = seen_as(f"203.0.113.{10 + number}") | {"Authorization": value.encode()}  # type: ignore[dict-item]
        response = await get(guarded, path, **headers)
        assert (response.status_code, response.json()["type"]) == (401, "unauthorized"), value
        assert TOKEN not in response.text


async def test_a_question_too_many_is_refused_with_a_time_to_wait(guarded: Service) -> None:
    async with guarded.client(headers=seen_as("203.0.113.99")) as client:
        answers = [await client.get("/rate-limit/none") for _ in range(LIMIT + 1)]
        assert [answer.status_code for answer in answers] == [404] * LIMIT + [429]
        refused = answers[-1]
        assert refused.json() | {"request_id": "", "detail": ""} == {
            "detail": "", "type": "rate_limited", "code": 429, "request_id": ""
        }  # fmt: skip
        assert 1 <= int(refused.headers["retry-after"]) <= 61
        assert refused.headers["x-ratelimit-limit"] == str(LIMIT)
        assert refused.headers["x-ratelimit-remaining"] == "0"
        for path in ("/health", "/health/live", "/health/ready"):
            answer = await client.get(path)
            assert answer.status_code == 200
            assert "x-ratelimit-limit" not in answer.headers
        assert (await client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 200
    other = await get(guarded, "/docs", **seen_as("203.0.113.98"))
    assert other.status_code == 200


async def test_a_made_up_hop_is_no_way_around_the_limit(guarded: Service) -> None:
    async with guarded.client() as client:
        left = []
        for number in range(3):
            answer = await client.get("/docs", headers=seen_as(f"198.51.100.{number}, 203.0.113.50"))
            left.append(int(answer.headers["x-ratelimit-remaining"]))
    assert left == [LIMIT - 1, LIMIT - 2, LIMIT - 3]


async def test_plain_requests_are_sent_to_https_and_health_is_not(guarded: Service) -> None:
    plain = await get(guarded, "/docs", **{"X-Forwarded-For": "203.0.113.51"})
    assert plain.status_code == 307
    assert plain.headers["location"].startswith("https://")
    assert (await get(guarded, "/health")).status_code == 200
    assert "max-age=" in (await get(guarded, "/docs", **seen_as("203.0.113.51"))).headers["strict-transport-security"]


@pytest.mark.parametrize(("origin", "allowed"), [(ALLOWED, True), ("https://evil.example", False), ("null", False)])
async def test_only_an_allowed_origin_may_read_answers(origin: str, allowed: bool, guarded: Service) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,idempotency-key"}
    async with guarded.client(headers=seen_as("203.0.113.60", Origin=origin)) as client:
        preflight = await client.options("/ask", headers=asked)
        answer = await client.post("/ask", json={"question": QUESTION})
    assert (preflight.headers.get("access-control-allow-origin") == origin) is allowed
    assert (answer.headers.get("access-control-allow-origin") == origin) is allowed
    if allowed:
        assert preflight.status_code == 200
        exposed = answer.headers["access-control-expose-headers"].lower()
        assert all(name in exposed for name in ("x-request-id", "x-session-id", "retry-after", "x-ratelimit-remaining"))
    else:
        assert (preflight.status_code, preflight.json()["type"]) == (403, "forbidden")
        assert preflight.json()["request_id"] == preflight.headers["x-request-id"]
