"""Prometheus metrics: every name that dashboards read, in a registry of its own, with bounded label sets."""

import time
from collections import deque

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics

from infrastructure.histogram import LoopHistogram
from infrastructure.label_names import LabelNames
from infrastructure.providers.types import Usage

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
RECENT = 512  # finished runs that the figures of /agent-stats are made of


class Metrics:
    """Counts what happens. Label values come from closed sets: a stranger cannot add a series."""

    def __init__(self, app_version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series a counter that nobody reads; untyped there
        self.registry = registry = CollectorRegistry()
        self.started = time.time()
        self.last_call: str | None = None  # how the latest call of a model ended: `ok`, or an error's kind
        self.recent_seconds: deque[float] = deque(maxlen=RECENT)
        self.http_requests = Counter(
            "http_requests", "HTTP requests.", ["method", "endpoint", "status_code"], registry=registry
        )
        self.http_seconds = Histogram(
            "http_request_duration_seconds", "Time until the response's last byte.", ["method", "endpoint"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.ws_connections = Counter("websocket_connections", "WebSocket connections accepted.", registry=registry)
        self.ws_active = Gauge("websocket_active_connections", "WebSocket connections open.", registry=registry)
        self.ws_messages = Counter(
            "websocket_messages", "WebSocket messages.", ["direction", "message_type"], registry=registry
        )
        self.queries = Counter("agent_queries", "Questions asked, over every transport.", registry=registry)
        self.run_seconds = LoopHistogram(
            "agent_processing_duration_seconds", "Time from question to the run's end.", SECONDS, registry
        )
        self.confidence = Histogram(
            "agent_confidence_score", "Final confidence of complete answers.", buckets=SHARES, registry=registry
        )
        self.sessions = Gauge("active_sessions_total", "Sessions held.", registry=registry)
        self.cache_operations = Counter(
            "cache_operations", "Cache look-ups and writes.", ["operation", "result"], registry=registry
        )
        self.errors = Counter("errors", "Errors by kind.", ["type"], registry=registry)
        self.ttft = LoopHistogram(
            "agent_time_to_first_token_seconds", "From the run's start to its first word.", SECONDS, registry
        )
        self.inter_token = LoopHistogram(
            "agent_inter_token_seconds", "Between two word frames.", TOKEN_SECONDS, registry
        )
        self.stop_seconds = Histogram(
            "agent_stop_latency_seconds", "From the wish to stop to the upstream closed.", buckets=TOKEN_SECONDS,
            registry=registry,
        )  # fmt: skip
        self.runs = Counter("agent_runs", "Runs by outcome.", ["outcome"], registry=registry)
        self.models = LabelNames()  # whoever knows the models says which have a series of their own
        self.tokens = Counter("agent_tokens", "Model tokens.", ["kind", "model"], registry=registry)
        self.replays = Counter("stream_replays", "Readers that re-joined a run.", registry=registry)
        self.dropped = Counter("stream_dropped_subscribers", "Readers let go as too slow.", registry=registry)
        self.rejected_citations = Counter(
            "citations_rejected", "Markers that name no retrieved passage.", registry=registry
        )
        self.loop_lag = Histogram(
            "event_loop_lag_seconds", "How late the event loop runs a timer.", buckets=TOKEN_SECONDS, registry=registry
        )
        self.provider_requests = Counter(
            "provider_requests", "Calls of a model provider.", ["provider", "outcome"], registry=registry
        )
        self.circuit = Gauge(
            "provider_circuit_state", "0 closed, 1 half open, 2 open.", ["provider"], registry=registry
        )
        self.traces_dropped = Counter(
            "traces_dropped", "Traces of runs that were not sent.", ["reason"], registry=registry
        )
        self._system_gauges(registry, app_version)
        self.first_token = self.ttft.observe
        self.next_token = self.inter_token.observe

    def _system_gauges(self, registry: CollectorRegistry, app_version: str) -> None:
        process = psutil.Process()
        memory = Gauge("system_memory_usage_bytes", "Resident memory of this process.", registry=registry)
        memory.set_function(lambda: process.memory_info().rss)
        cpu = Gauge("system_cpu_usage_percent", "CPU of this process since the last scrape.", registry=registry)
        cpu.set_function(lambda: process.cpu_percent(None))
        Info("app", "The service.", registry=registry).info({"version": app_version, "name": "askgraph"})

    # What the runner tells.

    def run_finished(self, outcome: str, seconds: float, confidence: float | None, model: str, usage: Usage) -> None:
        self.runs.labels(outcome).inc()
        self.run_seconds.observe(seconds)
        self.recent_seconds.append(seconds)
        if confidence is not None:
            self.confidence.observe(confidence)
        if usage.prompt_tokens or usage.completion_tokens:
            model = self.models.label(model)
            self.tokens.labels("prompt", model).inc(usage.prompt_tokens)
            self.tokens.labels("completion", model).inc(usage.completion_tokens)

    def stopped(self, seconds: float) -> None:
        self.stop_seconds.observe(seconds)

    def citations_dropped(self, count: int) -> None:
        self.rejected_citations.inc(count)

    def provider_called(self, provider: str, outcome: str) -> None:
        self.provider_requests.labels(provider, outcome).inc()
        self.last_call = outcome

    def traces_dropped_for(self, reason: str, count: int) -> None:
        """`full`: too many waited; `refused`: not taken; `broken`: it could not be encoded. Any thread may say so."""
        self.traces_dropped.labels(reason).inc(count)

    # What the edge tells.

    def request(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """`endpoint` is a route's template, or `unmatched`; never a raw path."""
        method = method if method in METHODS else "OTHER"
        self.http_requests.labels(method, endpoint, str(status)).inc()
        self.http_seconds.labels(method, endpoint).observe(seconds)

    def error(self, kind: str) -> None:
        self.errors.labels(kind).inc()
