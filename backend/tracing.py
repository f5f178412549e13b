"""Tracing, opened from the settings and OpenTelemetry's variables. Its libraries are imported only when it is on."""

import os
from collections.abc import Mapping
from contextlib import AsyncExitStack

import structlog
from dotenv import dotenv_values

from backend.settings import Settings
from infrastructure.monitoring import Metrics
from infrastructure.tracing import variables
from infrastructure.tracing.destination import Destination
from infrastructure.tracing.tracing import Tracing

log = structlog.get_logger()
LANGFUSE_PATH = "/api/public/otel/v1/traces"
INGESTION = "4"
"""Without it Langfuse shows traces up to ten minutes late (its documentation of the OTLP endpoint)."""


def open_tracing(
    settings: Settings, metrics: Metrics, secret: str, version: str, stack: AsyncExitStack,
    environment: Mapping[str, str] | None = None,
) -> Tracing | None:  # fmt: skip
    """None where nobody wants traces. Closed with `stack`: what waits is sent then, for two seconds at most.

    `environment` is for OpenTelemetry's variables; None: the process's own, and `.env` behind it.
    """
    known = environment if environment is not None else _variables()
    wanted = [found for found in (_langfuse(settings), variables.collector(known)) if found is not None]
    if not wanted:
        return None
    tracing = _open(settings, metrics, secret, version, wanted, known)
    stack.push_async_callback(tracing.aclose)
    log.info("tracing", to=[destination.name for destination in wanted], content=tracing.content)
    return tracing


def _open(
    settings: Settings, metrics: Metrics, secret: str, version: str, wanted: list[Destination],
    known: Mapping[str, str],
) -> Tracing:  # fmt: skip
    from infrastructure.tracing.attributes import GenAI, Langfuse
    from infrastructure.tracing.encode import Encoder
    from infrastructure.tracing.export import Export
    from infrastructure.tracing.hashes import Hashes
    from infrastructure.tracing.sender import Sender

    hashes, batching = Hashes(secret), variables.batching(known)
    resource = variables.resource(
        known, service__name="askgraph", service__version=version, deployment__environment__name=settings.environment
    )
    of_langfuse = {"langfuse.environment": settings.environment, "langfuse.release": version}

    def export(to: Destination) -> Export:
        if to.alone:
            dialect = Langfuse(settings.prices)
            encoder = Encoder(resource | of_langfuse, version, hashes, dialect, everywhere=True)
        else:
            encoder = Encoder(resource, version, hashes, GenAI(settings.prices), everywhere=False)
        return Export(to.name, encoder, Sender(to), batching, metrics.traces_dropped_for)

    content, share = variables.captures_content(known), variables.sampled_share(known)
    return Tracing([export(to) for to in wanted], hashes, content=content, share=share)


def _langfuse(settings: Settings) -> Destination | None:
    public, secret = settings.langfuse_public_key, settings.langfuse_secret_key
    if public is None or secret is None:
        return None
    return Destination(
        "langfuse",
        f"{settings.langfuse_host.rstrip('/')}{LANGFUSE_PATH}",
        {"x-langfuse-ingestion-version": INGESTION},
        basic=(public.get_secret_value(), secret.get_secret_value()),
        alone=True,
    )


def _variables() -> Mapping[str, str]:
    """OpenTelemetry's, from where settings come from too: the environment goes before `.env`."""
    file = {name: value for name, value in dotenv_values(".env").items() if value}
    return {name: value for name, value in {**file, **os.environ}.items() if name.startswith("OTEL_")}
