"""The metrics that dashboards read, by their names, with labels that a stranger cannot add to."""

import asyncio
from uuid import uuid4

import pytest
from prometheus_client import generate_latest

from infrastructure.label_names import MOST, LabelNames
from infrastructure.monitoring import Metrics
from infrastructure.providers.types import Usage

NAMES = (
    'http_requests_total{endpoint="/ask",method="GET",status_code="200"}',
    'http_request_duration_seconds_bucket{endpoint="/ask",le="0.005",method="GET"}',
    "websocket_connections_total",
    "websocket_active_connections",
    'websocket_messages_total{direction="in",message_type="question"}',
    "agent_queries_total",
    "agent_processing_duration_seconds_bucket",
    "agent_confidence_score_bucket",
    "active_sessions_total",
    'cache_operations_total{operation="get",result="hit"}',
    "system_memory_usage_bytes",
    "system_cpu_usage_percent",
    'errors_total{type="not_found"}',
    "app_info{",
    "agent_time_to_first_token_seconds_bucket",
    "agent_inter_token_seconds_bucket",
    "agent_stop_latency_seconds_bucket",
    'agent_runs_total{outcome="complete"}',
    'agent_tokens_total{kind="prompt",model="m"}',
    "stream_replays_total",
    "stream_dropped_subscribers_total",
    "citations_rejected_total",
    "event_loop_lag_seconds_bucket",
    'provider_requests_total{outcome="ok",provider="openai"}',
    'provider_circuit_state{provider="openai"}',
)


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics("1.2.3")
    metrics.request("GET", "/ask", 200, 0.1)
    metrics.queries.inc()
    metrics.run_finished("complete", 0.5, 0.9, "m", Usage(3, 4))
    metrics.run_finished("cancelled", 0.5, None, "", Usage())
    metrics.stopped(0.01)
    metrics.first_token(0.1)
    metrics.next_token(0.01)
    metrics.citations_dropped(2)
    metrics.provider_called("openai", "ok")
    metrics.error("not_found")
    metrics.ws_messages.labels("in", "question").inc()
    metrics.cache_operations.labels("get", "hit").inc()
    metrics.circuit.labels("openai").set(0)
    return metrics


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_dashboards_read_is_there(metrics: Metrics, name: str) -> None:
    lines = generate_latest(metrics.registry).decode().splitlines()
    assert any(line.startswith(name) for line in lines), lines


def test_figures_are_what_was_told(metrics: Metrics) -> None:
    value = metrics.registry.get_sample_value
    assert value("agent_tokens_total", {"kind": "prompt", "model": "m"}) == 3
    assert value("agent_tokens_total", {"kind": "completion", "model": "m"}) == 4
    assert value("agent_confidence_score_count") == 1
    assert value("agent_processing_duration_seconds_count") == 2
    assert value("citations_rejected_total") == 2
    assert value("app_info", {"version": "1.2.3", "name": "askgraph"}) == 1
    memory = value("system_memory_usage_bytes")
    assert memory is not None
    assert memory > 1024 * 1024


def test_methods_that_nobody_knows_are_one(metrics: Metrics) -> None:
    for method in ("BREW", "get", "X" * 100):
        metrics.request(method, "unmatched", 405, 0.1)
    value = metrics.registry.get_sample_value
    labels = {"method": "OTHER", "endpoint": "unmatched", "status_code": "405"}
    assert value("http_requests_total", labels) == 3


def tokens_by_model(metrics: Metrics) -> dict[str, float]:
    lines = generate_latest(metrics.registry).decode().splitlines()
    found = [line for line in lines if line.startswith('agent_tokens_total{kind="prompt"')]
    return {line.split('model="')[1].rsplit('"', 1)[0]: float(line.split()[-1]) for line in found}


def test_a_thousand_models_are_fifty_and_the_rest(metrics: Metrics) -> None:
    for _ in range(1000):
        metrics.run_finished("complete", 0.1, 0.9, f'm-{uuid4()}\n"', Usage(1, 1))
    found = tokens_by_model(metrics)
    assert len(found) == MOST + 1
    assert (found["other"], found["m"]) == (1000 - MOST + 1, 3.0)


def test_models_that_the_operator_named_keep_their_place_and_what_is_not_allowed_has_none(metrics: Metrics) -> None:
    metrics.models.know(["small", "large"], lambda model: model.startswith("own-"))
    for number in range(1000):
        metrics.run_finished("complete", 0.1, 0.9, f"own-{number}", Usage(1, 1))
        metrics.run_finished("complete", 0.1, 0.9, str(uuid4()), Usage(1, 1))
    metrics.run_finished("complete", 0.1, 0.9, "large", Usage(5, 0))
    found = tokens_by_model(metrics)
    assert len(found) <= MOST + 1
    assert found["large"] == 5.0
    assert {name.split("-")[0] for name in found} == {"m", "own", "large", "other"}


def test_more_names_than_there_is_room_for_are_cut() -> None:
    names = LabelNames(3)
    names.know(["a", "b", "a", "c", "d"], lambda name: True)
    assert [names.label(name) for name in "abcde"] == ["a", "b", "c", "other", "other"]


async def test_two_services_in_one_process_count_apart() -> None:
    first, second = await asyncio.gather(asyncio.to_thread(Metrics, "1"), asyncio.to_thread(Metrics, "1"))
    first.error("x")
    assert second.registry.get_sample_value("errors_total", {"type": "x"}) is None
