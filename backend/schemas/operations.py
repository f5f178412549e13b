"""Bodies of the operations routes: figures of this process, measured."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["healthy", "degraded", "unhealthy", "unknown", "off"]
_SECONDS: dict[str, Any] = {"count": 118, "mean": 1.21, "p50": 1.06, "p95": 2.37, "p99": 3.35}
_RUN: dict[str, Any] = {
    "seconds": 63.2, "questions": 120, "questions_per_minute": 113.9, "outcomes": {"complete": 117, "cancelled": 1},
    "error_rate": 0.0, "run_seconds": _SECONDS, "first_token_seconds": {**_SECONDS, "mean": 0.31, "p50": 0.3},
    "inter_token_seconds": {"count": 9120, "mean": 0.012, "p50": 0.011, "p95": 0.03, "p99": 0.05},
    "loop_lag_seconds": {"count": 126, "mean": 0.0006, "p50": 0.0005, "p95": 0.0012, "p99": 0.004},
    "prompt_tokens": 182_400, "completion_tokens": 23_100, "requests": 340, "requests_per_minute": 322.8,
    "server_errors": 0, "cache_hit_rate": 0.42,
}  # fmt: skip


def _shown(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]}, protected_namespaces=())


class Spread(BaseModel):
    """How long something took, in seconds; null where it did not happen. A percentile is at most 6 % off."""

    count: int
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class WindowBody(BaseModel):
    """What was in the last `seconds`: up to ten more than asked for, and fewer while the process is younger."""

    seconds: float
    questions: int
    questions_per_minute: float
    outcomes: dict[str, int] = Field(description="Ended runs: `complete`, `no_relevant_answer`, `cancelled`, or kinds.")
    error_rate: float | None = Field(description="Share of ended runs that ended as an error; null where none ended.")
    run_seconds: Spread = Field(description="From the question to the run's end.")
    first_token_seconds: Spread = Field(description="From the run's start to its first word.")
    inter_token_seconds: Spread = Field(description="Between two `word` frames of a run.")
    loop_lag_seconds: Spread = Field(description="How late timers run.")
    prompt_tokens: int
    completion_tokens: int
    requests: int
    requests_per_minute: float
    server_errors: int = Field(description="HTTP answers of 500 and above.")
    cache_hit_rate: float | None = Field(description="Of the embeddings' and the answers' cache; null: nobody asked.")


class PerformanceStats(BaseModel):
    model_config = _shown({"uptime_seconds": 8141.5, "windows": {"1m": _RUN, "5m": _RUN, "1h": _RUN}})

    uptime_seconds: float
    windows: dict[Literal["1m", "5m", "1h"], WindowBody]


class Component(BaseModel):
    """`score` is 0 to 100, null where there is nothing to score. `seconds`: what was measured, if a time was."""

    status: Status
    score: int | None
    detail: str
    seconds: float | None = None


class Components(BaseModel):
    agent: Component
    embeddings: Component
    cache: Component
    database: Component
    model: Component
    websocket: Component


class HealthMetrics(BaseModel):
    """`avg_response_time` (seconds), `cache_hit_rate` and `error_rate` are of the last five minutes, 0 for nothing."""

    active_sessions: int
    active_runs: int
    active_connections: int
    cache_hit_rate: float
    avg_response_time: float
    questions_per_minute: float
    error_rate: float
    uptime_seconds: float


class HealthStatus(BaseModel):
    """`status` is `unhealthy` where the agent or the database is, `degraded` where anything is less than healthy."""

    model_config = _shown(
        {
            "status": "healthy", "health_score": 100.0,
            "components": {
                "agent": {"status": "healthy", "score": 100, "detail": "3 runs under way", "seconds": None},
                "embeddings": {"status": "healthy", "score": 100, "detail": "answers", "seconds": 0.0004},
                "cache": {"status": "healthy", "score": 100, "detail": "hit rate 42 %", "seconds": None},
                "database": {"status": "healthy", "score": 100, "detail": "answers", "seconds": 0.0011},
                "model": {"status": "healthy", "score": 100, "detail": "the last call succeeded", "seconds": None},
                "websocket": {"status": "healthy", "score": 100, "detail": "7 connections", "seconds": 0.0012},
            },
            "metrics": {
                "active_sessions": 5, "active_runs": 3, "active_connections": 7, "cache_hit_rate": 0.42,
                "avg_response_time": 1.21, "questions_per_minute": 113.9, "error_rate": 0.0, "uptime_seconds": 8141.5,
            },
        }
    )  # fmt: skip

    status: Literal["healthy", "degraded", "unhealthy"]
    health_score: float = Field(description="0 to 100: the components' scores, weighted.")
    components: Components
    metrics: HealthMetrics


class SystemMetrics(BaseModel):
    """This process, and the machine as it sees it."""

    model_config = _shown(
        {
            "version": "1.0.0", "python": "3.11.9", "uptime_seconds": 8141.5, "memory_usage_bytes": 268_435_456,
            "cpu_usage_percent": 12.5, "threads": 9, "open_files": 48, "cpu_count": 8, "load_1m": 0.7,
            "system_memory_total_bytes": 17_179_869_184, "system_memory_available_bytes": 9_663_676_416,
            "disk_total_bytes": 107_374_182_400, "disk_free_bytes": 64_424_509_440,
            "loop_lag_seconds": _RUN["loop_lag_seconds"],
        }
    )  # fmt: skip

    version: str
    python: str
    uptime_seconds: float
    memory_usage_bytes: int = Field(description="Resident memory of this process.")
    cpu_usage_percent: float = Field(description="Of one processor, since somebody last looked, a second ago at least.")
    threads: int
    open_files: int | None = Field(description="Open descriptors, sockets among them.")
    cpu_count: int
    load_1m: float | None
    system_memory_total_bytes: int
    system_memory_available_bytes: int
    disk_total_bytes: int | None = Field(description="Of the file system that DATA_DIR is on; null: it does not say.")
    disk_free_bytes: int | None
    loop_lag_seconds: Spread = Field(description="How late timers ran in the last minute.")


class ProviderState(BaseModel):
    circuit: Literal["closed", "half_open", "open"]
    calls: dict[str, int] = Field(description="Tries since the start, by how they ended.")


class AgentStats(BaseModel):
    """Runs of this process since its start."""

    model_config = _shown(
        {
            "provider": "openai", "model": "gpt-4o-mini", "draining": False, "active_runs": 3, "max_active_runs": 500,
            "active_sessions": 5, "questions_total": 4210, "runs_total": {"complete": 4180, "cancelled": 12},
            "success_rate": 0.9976, "avg_confidence": 0.81, "prompt_tokens_total": 6_210_400,
            "completion_tokens_total": 801_200, "citations_rejected_total": 31, "replays_total": 19,
            "dropped_readers_total": 0, "providers": {"openai": {"circuit": "closed", "calls": {"ok": 4188}}},
            "tools": ["search_knowledge_base", "list_knowledge_files", "read_knowledge_file"],
        }
    )  # fmt: skip

    provider: str
    model: str
    draining: bool
    active_runs: int
    max_active_runs: int
    active_sessions: int
    questions_total: int
    runs_total: dict[str, int]
    success_rate: float | None = Field(description="Share of ended runs that were no error; null where none ended.")
    avg_confidence: float | None
    prompt_tokens_total: int
    completion_tokens_total: int
    citations_rejected_total: int
    replays_total: int
    dropped_readers_total: int
    providers: dict[str, ProviderState]
    tools: list[str]


class SessionStats(BaseModel):
    """Sessions and runs that this process holds."""

    model_config = _shown(
        {
            "sessions": 41, "active_sessions": 5, "active_runs": 3, "held_runs": 120, "held_bytes": 912_384,
            "concurrency": "queue", "ttl_days": 30,
        }
    )  # fmt: skip

    sessions: int
    active_sessions: int
    active_runs: int
    held_runs: int = Field(description="Runs whose frames can be re-joined.")
    held_bytes: int
    concurrency: str
    ttl_days: float


class SocketStats(BaseModel):
    """Connections of this process, now and since its start."""

    model_config = _shown(
        {
            "active_connections": 7, "busy_connections": 3, "addresses": 4, "accepted_total": 912, "refused_total": 0,
            "max_connections_per_address": 20, "heartbeat_interval": 30.0,
        }
    )  # fmt: skip

    active_connections: int
    busy_connections: int = Field(description="Those on which a run is being read.")
    addresses: int
    accepted_total: int
    refused_total: int = Field(description="Turned away, as their address had too many.")
    max_connections_per_address: int
    heartbeat_interval: float = Field(description="Seconds.")


class RateLimitStatus(BaseModel):
    """What the caller has left. `reset` is in Unix seconds."""

    model_config = _shown(
        {"limit": 200, "remaining": 187, "reset": 1767605460, "window_seconds": 60, "refused_total": 0}
    )

    limit: int
    remaining: int
    reset: int
    window_seconds: int
    refused_total: int = Field(description="Requests of all callers that were over the limit, since the start.")
