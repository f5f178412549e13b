"""The service's real parts over a folder of documents: read, cut, indexed, searched and answered from as it does."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from agents.runner import Ask
from backend.container import Container, open_container, service_version
from backend.settings import Settings
from infrastructure.logging import configure_logging
from infrastructure.monitoring import Metrics
from middleware.rate_limit import CallerLimit
from services.knowledge.search import Retrieval


class Service:
    """Asks and searches, with no web server between."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._texts: dict[str, str] = {}

    async def ask(self, question: str) -> dict[str, Any]:
        """The last frame of an answer: `answer`, `confidence`, `processing_stage`, `citations` …"""
        run = await self._container.runner.start(Ask(question, caller="evaluation"))
        async with aclosing(self._container.event_log.read(run.id)) as batches:
            async for batch in batches:
                entry = batch.entries[-1]
        frame: dict[str, Any] = orjson.loads(entry.data)
        assert frame["type"] == "complete", frame
        return frame

    async def search(self, question: str, limit: int = 10) -> Retrieval:
        return await self._container.search.search(question, limit)

    def idf(self, term: str) -> float:
        return self._container.search.idf(term)

    async def text(self, document: str) -> str:
        """The whole extracted text that citations count in."""
        if document not in self._texts:
            self._texts[document] = (await self._container.library.read_document(document)).text
        return self._texts[document]


@asynccontextmanager
async def service(documents: Path, embedding: str | None = None) -> AsyncIterator[Service]:
    """A service that answers with `extractive` from the files in `documents`; what it writes is gone afterwards.

    Raises:
        ValueError: this version has no choice of embedding model, and one was named.
    """
    configure_logging("ERROR", "console")
    with TemporaryDirectory() as home:
        settings = Settings(
            _env_file=None,
            model_provider="extractive",
            data_dir=Path(home) / "data",
            cache_dir=Path(home) / "cache",
            cache_enabled=False,
            knowledge_dir=documents,
            **_embedding(embedding),
        )
        limit = CallerLimit(settings.rate_limit_requests_per_minute, settings.rate_limit_window_seconds)
        async with open_container(settings, Metrics(service_version()), limit, watching=False) as container:
            yield Service(container)


def _embedding(name: str | None) -> dict[str, Any]:
    """The setting that chooses an embedding model."""
    if name is None:
        return {}
    for setting in ("embedding_provider", "agent_embedding_model", "embedding_model"):
        if setting in Settings.model_fields:
            return {setting: name}
    raise ValueError("no embedding model can be chosen in this version")
