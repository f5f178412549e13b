"""Reranking: a slower model that reads a question and a passage together puts the best passages in order."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from infrastructure.errors import ProviderError
from services.knowledge.retrieval import Retrieval

_logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

SECONDS = 1.5
"""How long a search waits for the order; after that it goes on with its own."""
RERANKED = 16  # passages that it is shown
_QUIET_SECONDS = 60.0  # between two lines of the log


class Reranker(Protocol):
    """A model that tells how well passages answer a question."""

    @property
    def name(self) -> str:
        """The provider and the model, "http:jina-reranker-v2" say."""

    async def rerank(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """A score in [0, 1] for each text, in the order of `texts`; higher is better.

        Raises:
            ProviderError: the model gave no scores, or not in time. A question can be answered without them.
        """

    async def aclose(self) -> None: ...


class Reranking:
    """A reranker that may be late or away: then the order stays as it was."""

    def __init__(self, reranker: Reranker, seconds: float = SECONDS) -> None:
        self._reranker = reranker
        self._seconds = seconds
        self._failed = 0  # since the last line of the log
        self._said = -_QUIET_SECONDS

    async def best(self, query: str, found: Retrieval, limit: int) -> Retrieval:
        """The same with its `limit` best passages, in the reranker's order and with its scores. The confidence stays
        as it was: it is fitted to what the search found.
        """
        passages = found.passages[:limit]
        scores = await self._scores(query, [passage.text for passage in found.passages])
        if scores:
            scored = [replace(one, score=score) for one, score in zip(found.passages, scores, strict=True)]
            passages = tuple(sorted(scored, key=lambda one: -one.score)[:limit])
        return replace(found, passages=passages)

    async def aclose(self) -> None:
        await self._reranker.aclose()

    async def _scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """A score for each text; none when the reranker is late or fails."""
        if len(texts) < 2:
            return ()
        try:
            async with asyncio.timeout(self._seconds) as scope:
                return await self._reranker.rerank(query, texts)
        except ProviderError as error:
            self._note(error.kind)
        except TimeoutError:
            if not scope.expired():
                raise
            self._note("late")
        return ()

    def _note(self, reason: str) -> None:
        self._failed += 1
        now = time.monotonic()
        if now - self._said >= _QUIET_SECONDS:
            _logger.warning("not_reranked", reranker=self._reranker.name, reason=reason, searches=self._failed)
            self._failed, self._said = 0, now
