"""Which traces go where, by the settings."""

from contextlib import AsyncExitStack
from typing import Any

import pytest
from pydantic import ValidationError

from backend.settings import Settings
from backend.tracing import open_tracing
from infrastructure.monitoring import Metrics
from infrastructure.tracing.record import Span, Trace
from tests.otlp_receiver import OtlpReceiver

KEYS = {"langfuse_public_key": "pk-lf-canary", "langfuse_secret_key": "sk-lf-canary"}
SPAN = Span("run", "ask", None, 1, 2)


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, **given)


async def opened(given: Settings, stack: AsyncExitStack, **environment: str) -> Any:
    return open_tracing(given, Metrics("1.0"), "secret", "1.0", stack, environment)


async def test_without_keys_and_without_a_collector_there_is_no_tracing() -> None:
    async with AsyncExitStack() as stack:
        assert await opened(settings(), stack) is None
        off = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}
        assert await opened(settings(), stack, **off) is None


async def test_langfuse_gets_its_keys_and_the_collector_its_headers_and_both_get_the_trace() -> None:
    async with OtlpReceiver() as langfuse, OtlpReceiver() as collector:
        async with AsyncExitStack() as stack:
            tracing = await opened(
                settings(**KEYS, langfuse_host=f"{langfuse.url}/", environment="test"), stack,
                OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_EXPORTER_OTLP_HEADERS="api-key=mine",
                OTEL_SERVICE_NAME="desk",
            )  # fmt: skip
            assert not tracing.content
            tracing.take(Trace(bytes(16), "ask", None, None, [SPAN]))
        (to_langfuse,), (to_collector,) = langfuse.posted, collector.posted
    assert to_langfuse.path == "/api/public/otel/v1/traces"
    assert to_langfuse.headers["authorization"].startswith("Basic ")
    assert to_langfuse.headers["x-langfuse-ingestion-version"] == "4"
    assert "api-key" not in to_langfuse.headers
    assert to_langfuse.resource["langfuse.environment"] == "test"
    assert to_collector.path == "/v1/traces"
    assert to_collector.headers["api-key"] == "mine"
    assert "authorization" not in to_collector.headers
    assert to_collector.resource["service.name"] == "desk"
    assert not any("langfuse" in name for name in to_collector.resource)


async def test_the_variables_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with OtlpReceiver() as collector, AsyncExitStack() as stack:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
        tracing = open_tracing(settings(), Metrics("1.0"), "secret", "1.0", stack)
        assert tracing is not None
        assert tracing.content


def test_drops_are_counted_by_reason() -> None:
    metrics = Metrics("1.0")
    metrics.traces_dropped_for("full", 2)
    assert metrics.registry.get_sample_value("traces_dropped_total", {"reason": "full"}) == 2


@pytest.mark.parametrize(
    "given", [{"langfuse_public_key": "pk"}, {"langfuse_secret_key": "sk"}, {**KEYS, "langfuse_host": "canary"}]
)
def test_settings_that_cannot_work_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**given)
    assert "canary" not in str(refused.value)


def test_prices_are_dollars_for_a_million_tokens() -> None:
    given = settings(model_prices="gpt-4o-mini=0.15/0.60, openai/gpt-4o = 2.5/10")
    assert given.prices == {"gpt-4o-mini": (0.15, 0.6), "openai/gpt-4o": (2.5, 10.0)}
    assert settings().prices == {}


@pytest.mark.parametrize("prices", ["gpt", "gpt=1", "gpt=1/x", "=1/2", "gpt=-1/2", "gpt=nan/1", "gpt=1e9/1"])
def test_prices_that_are_none_are_refused(prices: str) -> None:
    with pytest.raises(ValidationError):
        settings(model_prices=prices)
