"""What readiness is made of: each part asked, none assumed."""

from dataclasses import dataclass
from typing import Any

from backend.container import Container


@dataclass(frozen=True, slots=True)
class Readiness:
    """`body` names each part with `ok`, or with what is wrong with it."""

    ready: bool
    body: dict[str, Any]


async def readiness(parts: Container) -> Readiness:
    """Ask the database, look at the knowledge base, the model and the cache; draining is not ready.

    A cache or a Redis that is away is told and does not make the service unready: it is a help, not a need.
    """
    database = await parts.database_state()
    loaded = parts.indexer.loaded
    ready = database == "ok" and loaded and not parts.runner.draining
    body = {
        "status": "ready" if ready else "draining" if parts.runner.draining else "not_ready",
        "version": parts.version,
        "database": database,
        "knowledge_base": {"status": "ok" if loaded else "loading"} | await _counts(parts, database),
        "model": {"status": model_status(parts), "provider": parts.model.name, "model": parts.model.model},
        "cache": "ok" if parts.cache.stats().available else "off",
    }
    if parts.sharing is not None:
        body["redis"] = "ok" if parts.sharing.link.available else "away"
    return Readiness(ready, body)


async def _counts(parts: Container, database: str) -> dict[str, int]:
    """How much is known; nothing where the database, which has it, does not answer."""
    if database != "ok":
        return {}
    knowledge = await parts.library.status()
    return {"documents": knowledge.documents, "chunks": knowledge.chunks, "failed": len(knowledge.failed)}


def model_status(parts: Container) -> str:
    """How the latest call of the model ended: `ok`, `failing`, or `unknown` before the first one."""
    if parts.model.name == "extractive":
        return "ok"
    last = parts.metrics.last_call
    return "unknown" if last is None else "ok" if last == "ok" else "failing"
