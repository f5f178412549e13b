"""Prometheus metrics: every name that dashboards read, in a registry of its own, with bounded label sets."""

import asyncio
import os
import time
from collections.abc import Callable
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics

from infrastructure.counter import LoopCounters
from infrastructure.exposition import Registry
from infrastructure.histogram import LoopHistogram, LoopHistograms
from infrastructure.label_names import LabelNames
from infrastructure.log_ids import current_ids
from infrastructure.process_use import ProcessUse
from infrastructure.providers.types import Usage
from infrastructure.run_figures import RunFigures
from infrastructure.shared_values import Value, shared_folder
from infrastructure.worker_files import WorkerFiles

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Of runs and requests. The last one is behind what a run may take, RUN_MAX_SECONDS (180), with its time in line."""
TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Between tokens: from a small model on a large machine, to one that stalls."""
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
SERIES_KEPT = 256  # at hand, of those that each run counts in
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}


class Metrics:
    """Counts what happens. Label values come from closed sets: a stranger cannot add a series.

    Where PROMETHEUS_MULTIPROC_DIR is in the environment the workers of a service share their numbers there, and a
    scrape of any has the sum.

    Raises:
        OSError: that folder cannot be used.
    """

    def __init__(self, app_version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series a counter that nobody reads; untyped there
        folder = shared_folder()
        self._workers = WorkerFiles(folder) if folder is not None else None  # before the first number is
        self.registry = registry = Registry()
        self.started = time.time()
        self.last_call: str | None = None  # how the latest call of a model ended: `ok`, or an error's kind
        self.lately = RunFigures()
        self.http_requests = LoopCounters(
            "http_requests", "HTTP requests.", ["method", "endpoint", "status_code"], registry
        )
        self.http_seconds = LoopHistograms(
            "http_request_duration_seconds", "Time until the response's last byte.", ["method", "endpoint"], SECONDS,
            registry,
        )  # fmt: skip
        self._routes: dict[tuple[str, str, int], tuple[Value, LoopHistogram]] = {}
        self.ws_connections = Counter("websocket_connections", "WebSocket connections accepted.", registry=registry)
        self.ws_active = Gauge(
            "websocket_active_connections", "WebSocket connections open.", registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
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
        self.sessions = Gauge("active_sessions_total", "Sessions held.", registry=registry, multiprocess_mode="livesum")
        self.active_runs = Gauge(
            "agent_active_runs", "Runs under way or in line.", registry=registry, multiprocess_mode="livesum"
        )
        self._held: tuple[Callable[[], int], Callable[[], int]] = (lambda: 0, lambda: 0)
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
        self.taken_over = Counter(
            "agent_runs_taken_over", "Runs of dead workers: begun anew, or interrupted.", ["outcome"], registry=registry
        )
        self.dependency = Gauge(
            "dependency_available", "1: it answers; 0: the service does without.", ["dependency"], registry=registry,
            multiprocess_mode="livemin",
        )  # fmt: skip
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
            "provider_circuit_state",
            "0 closed, 1 half open, 2 open.",
            ["provider"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.traces_dropped = Counter(
            "traces_dropped", "Traces of runs that were not sent.", ["reason"], registry=registry
        )
        # Looking a series up by its labels costs as much as counting.
        self._runs_of, self._tokens_of, self._calls_of = (
            lru_cache(SERIES_KEPT)(counter.labels) for counter in (self.runs, self.tokens, self.provider_requests)
        )
        self._local = self._of_this_host(app_version)
        registry.register(self._local)  # a registry is a collector, too; untyped there
        self.first_token = _both(self._first_token, self.lately.first_token)
        self.next_token = _both(self.inter_token.observe, self.lately.next_token)

    def _of_this_host(self, app_version: str) -> CollectorRegistry:
        """What is no worker's number to share: it is found when somebody looks."""
        local, workers = CollectorRegistry(), self._workers
        local.register(ProcessUse((lambda: workers.living) if workers else lambda: (os.getpid(),)))
        Info("app", "The service.", registry=local).info({"version": app_version, "name": "askgraph"})
        return local

    def count_held(self, sessions: Callable[[], int], runs: Callable[[], int]) -> None:
        """Have these asked how many sessions this process holds, and how many runs it has under way."""
        self._held = sessions, runs

    async def scrape(self, openly: bool) -> bytes:
        """Prometheus' text; `openly`: OpenMetrics, with examples where the numbers are in memory."""
        self._share()
        if self._workers is None:
            return self.registry.text(openly)
        return await asyncio.to_thread(self._workers.text, self._local, openly)

    def _share(self) -> None:
        """Tell the other workers what is not told at once: what is observed with every token, and what is held."""
        for gauge, held in zip((self.sessions, self.active_runs), self._held, strict=True):
            gauge.set(held())
        for histogram in (self.run_seconds, self.ttft, self.inter_token):
            histogram.share()

    # What the runner tells.

    def run_finished(self, outcome: str, seconds: float, confidence: float | None, model: str, usage: Usage) -> None:
        run_id = current_ids().get("run_id")
        self._runs_of(outcome).inc(exemplar={"run_id": run_id} if run_id else None)
        self.run_seconds.observe_run(seconds, run_id)
        self.lately.run_finished(outcome, seconds, usage)
        if confidence is not None:
            self.confidence.observe(confidence)
        if usage.prompt_tokens or usage.completion_tokens:
            model = self.models.label(model)
            self._tokens_of("prompt", model).inc(usage.prompt_tokens)
            self._tokens_of("completion", model).inc(usage.completion_tokens)
        if self._workers is not None:
            self._share()

    def _first_token(self, seconds: float) -> None:
        self.ttft.observe_run(seconds, current_ids().get("run_id"))

    def stopped(self, seconds: float) -> None:
        self.stop_seconds.observe(seconds)

    def run_taken_over(self, outcome: str) -> None:
        """`begun_anew` or `interrupted`: a run that a dead worker left."""
        self.taken_over.labels(outcome).inc()

    def citations_dropped(self, count: int) -> None:
        self.rejected_citations.inc(count)

    def provider_called(self, provider: str, outcome: str) -> None:
        self._calls_of(provider, outcome).inc()
        self.last_call = outcome

    def traces_dropped_for(self, reason: str, count: int) -> None:
        """`full`: too many waited; `refused`: not taken; `broken`: it could not be encoded. Any thread may say so."""
        self.traces_dropped.labels(reason).inc(count)

    # What the edge tells.

    def request(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """`endpoint` is a route's template, or `unmatched`; never a raw path."""
        method = method if method in METHODS else "OTHER"
        known = self._routes.get((method, endpoint, status))
        if known is None:
            series = (
                self.http_requests.labels(method, endpoint, str(status)),
                self.http_seconds.labels(method, endpoint),
            )
            known = self._routes[method, endpoint, status] = series
        requests, times = known
        requests.inc(1)
        times.observe(seconds)
        if self._workers is not None:
            times.share()
        self.lately.answered(endpoint, status)

    def error(self, kind: str) -> None:
        self.errors.labels(kind).inc()
        self.lately.errors.seen(kind)


def _both(count: Callable[[float], None], note: Callable[[float], None]) -> Callable[[float], None]:
    """Told with every token: as little as there can be around two calls."""

    def told(seconds: float) -> None:
        count(seconds)
        note(seconds)

    return told
