"""OpenTelemetry's standard variables, read from a mapping. What makes no sense counts as not set, and is named."""

from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import unquote

import structlog

from infrastructure.tracing.destination import Destination
from infrastructure.tracing.export import Batching

log = structlog.get_logger()
T = TypeVar("T")
_TRUE = ("true", "1")
_WITH_CONTENT = (*_TRUE, "span_only", "span_and_event")
_OTLP = "OTEL_EXPORTER_OTLP_"
_RATIO = ("traceidratio", "parentbased_traceidratio")
_ALWAYS = {"always_on": 1.0, "parentbased_always_on": 1.0, "always_off": 0.0, "parentbased_always_off": 0.0}


def collector(variables: Mapping[str, str]) -> Destination | None:
    """Where OpenTelemetry's variables want traces to go; None: nowhere."""
    if variables.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    exporters = [name.strip() for name in variables.get("OTEL_TRACES_EXPORTER", "otlp").split(",")]
    url = _otlp(variables, "ENDPOINT")
    if url is None or "otlp" not in exporters:
        return None
    if not url.startswith(("http://", "https://")):
        return _nonsense(f"{_OTLP}ENDPOINT", None)
    if (_otlp(variables, "PROTOCOL") or "http/protobuf") != "http/protobuf":
        log.warning("traces are sent as http/protobuf, which is all that is spoken", variable=f"{_OTLP}PROTOCOL")
    if not variables.get(f"{_OTLP}TRACES_ENDPOINT"):
        url = f"{url.rstrip('/')}/v1/traces"
    return Destination(
        "collector",
        url,
        pairs(_otlp(variables, "HEADERS")),
        timeout=_number(f"{_OTLP}TIMEOUT", _otlp(variables, "TIMEOUT"), 10.0, float),
        compression=_compression(_otlp(variables, "COMPRESSION")),
        certificate=_otlp(variables, "CERTIFICATE"),
        client_key=_otlp(variables, "CLIENT_KEY"),
        client_certificate=_otlp(variables, "CLIENT_CERTIFICATE"),
    )


def batching(variables: Mapping[str, str]) -> Batching:
    usual = Batching()
    queue = _of(variables, "OTEL_BSP_MAX_QUEUE_SIZE", usual.queue, int)
    batch = min(_of(variables, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", usual.batch, int), queue)
    return Batching(queue, batch, _of(variables, "OTEL_BSP_SCHEDULE_DELAY", usual.seconds * 1000, float) / 1000)


def sampled_share(variables: Mapping[str, str]) -> float:
    """The share of runs that is traced. No run has a parent, so a sampler that looks at it is what it is without."""
    name = variables.get("OTEL_TRACES_SAMPLER", "").lower() or "always_on"
    if name in _ALWAYS:
        return _ALWAYS[name]
    if name not in _RATIO:
        return _nonsense("OTEL_TRACES_SAMPLER", 1.0)
    raw = variables.get("OTEL_TRACES_SAMPLER_ARG")
    try:
        share = float(raw or 1.0)
    except ValueError:
        share = -1.0
    return share if 0.0 <= share <= 1.0 else _nonsense("OTEL_TRACES_SAMPLER_ARG", 1.0)


def captures_content(variables: Mapping[str, str]) -> bool:
    """Whether prompts and answers may be in traces."""
    return variables.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "").lower() in _WITH_CONTENT


def resource(variables: Mapping[str, str], **known: str) -> dict[str, str]:
    """What the service is, in its traces: `known` (dots as two underscores), and what the variables say instead."""
    found = {name.replace("__", "."): text for name, text in known.items()}
    found |= pairs(variables.get("OTEL_RESOURCE_ATTRIBUTES"))
    if name := variables.get("OTEL_SERVICE_NAME"):
        found["service.name"] = name
    return found


def pairs(text: str | None) -> dict[str, str]:
    """`a=b,c=d%20e` → `{"a": "b", "c": "d e"}`."""
    found = (pair.partition("=") for pair in (text or "").split(","))
    return {unquote(name.strip()): unquote(value.strip()) for name, equals, value in found if equals and name.strip()}


def _otlp(variables: Mapping[str, str], name: str) -> str | None:
    return variables.get(f"{_OTLP}TRACES_{name}") or variables.get(f"{_OTLP}{name}") or None


def _compression(text: str | None) -> str:
    name = (text or "none").strip().lower()
    return name if name in ("none", "gzip", "deflate") else _nonsense(f"{_OTLP}COMPRESSION", "none")


def _of(variables: Mapping[str, str], name: str, usual: T, kind: Callable[[str], T]) -> T:
    return _number(name, variables.get(name), usual, kind)


def _number(name: str, text: str | None, usual: T, kind: Callable[[str], T]) -> T:
    try:
        found = kind(text) if text else usual
    except ValueError:
        return _nonsense(name, usual)
    return found if 0 < found < 1e9 else _nonsense(name, usual)  # type: ignore[operator]  # they are numbers


def _nonsense(name: str, usual: T) -> T:
    log.warning("a variable makes no sense and counts as not set", variable=name)
    return usual
