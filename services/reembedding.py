"""Changing the embedding model while the service runs: the wanted model embeds all chunks in the background, and the
one that serves goes on serving until the search index can change over as a whole.

What is done stays in the database, so a restart goes on where the last process ended. A document that comes meanwhile
is embedded by the model that serves, and by the wanted one before the change, or right after it. In the same way a
document gets its vectors that came while its model was away.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from infrastructure.database.engine import Database
from infrastructure.errors import AskGraphError, ProviderError, ProviderUnavailable
from services.embeddings import Embeddings
from services.knowledge.served import ChunkSource
from services.knowledge.stored import StoredChunks
from services.missing_vectors import BATCH, MissingVectors, Progress
from services.serving_model import ServingModel

_logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

State = Literal["serving", "preparing", "failed", "known"]
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0)
"""Seconds before each further try of a model that is away; one that succeeds begins them anew. Then it has failed."""
FAILED_SECONDS = 300.0  # after which one that has failed is tried again
RETIRED_SECONDS = 300.0  # in which those that began with the former model are done with it


class Index(Protocol):
    """What is brought over. See `services.knowledge.search.SearchIndex`."""

    serving: ServingModel
    lacking: asyncio.Event

    async def adopt(self, embeddings: Embeddings, source: ChunkSource) -> None: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with a model. `error` is the latest reason why it does not go on."""

    state: State
    progress: Progress | None = None
    error: str | None = None


class Reembedding:
    """Brings the index to the wanted model, and sees to it that the index has all vectors."""

    def __init__(
        self,
        database: Database,
        index: Index,
        wanted: Embeddings,
        *,
        batch: int = BATCH,
        pauses: tuple[float, ...] = PAUSES,
        failed_seconds: float = FAILED_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.wanted = wanted
        self._database = database
        self._index = index
        self._missing = MissingVectors(database, batch)
        self._pauses = pauses
        self._failed_seconds = failed_seconds
        self._sleep = sleep
        self._changed = asyncio.Event()
        self._error: str | None = None
        self._failed = False
        self._open = {wanted, index.serving.embeddings}
        self._closing: set[asyncio.Task[None]] = set()

    def want(self, embeddings: Embeddings) -> None:
        """Bring the index to this model, and to no other that was wanted before; once more, if it has failed."""
        self._open.add(embeddings)
        serving = self._index.serving.embeddings
        if embeddings is not serving and embeddings.model == serving.model:
            self._retire(embeddings)
            embeddings = serving
        if self.wanted not in (embeddings, serving):
            self._retire(self.wanted)
        self.wanted = embeddings
        self._missing.progress, self._error, self._failed = None, None, False
        self._changed.set()

    def standing(self, kept: str) -> Standing:
        """Of the model whose vectors are kept under that name."""
        wanted = kept == self.wanted.model
        if kept == self._index.serving.embeddings.model:
            return Standing("serving", None, self._error if wanted else None)
        if not wanted:
            return Standing("known")
        return Standing("failed" if self._failed else "preparing", self._missing.progress, self._error)

    def dimensions(self, kept: str) -> int | None:
        """Those of the model that serves, if it is that one; they are written down a little later."""
        serving = self._index.serving.embeddings
        return serving.dimensions if kept == serving.model else None

    async def run(self) -> None:
        """Work for ever, until cancelled."""
        while True:
            self._changed.clear()
            keeping = asyncio.create_task(self._keep(self.wanted))
            try:
                await self._changed.wait()
            finally:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)

    async def forget(self, texts: Sequence[str]) -> None:
        """Remove from the caches what is kept of `texts`, by each model that is in use."""
        for embeddings in tuple(self._open):
            with suppress(ProviderUnavailable):  # its dimensions are not known: it has embedded nothing
                await embeddings.forget(texts)

    async def aclose(self) -> None:
        """Let go of every model."""
        for closing in self._closing:
            closing.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        for embeddings in self._open:
            await embeddings.aclose()

    async def _keep(self, wanted: Embeddings) -> None:
        again = False
        while True:
            if self._index.lacking.is_set():
                self._index.lacking.clear()
                again = True
            if await self._brought(wanted, again):
                again = False
                await self._index.lacking.wait()
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._failed_seconds):
                        await self._index.lacking.wait()

    async def _brought(self, wanted: Embeddings, again: bool) -> bool:
        """Bring the index to the model, as often as it takes; False when that has failed."""
        tries = 0
        while True:
            before = self._missing.progress
            try:
                await self._bring(wanted, again)
            except (ProviderError, SQLAlchemyError) as error:
                tries = 0 if self._missing.progress != before else tries
                self._error = _reason(error)
                kept_on = getattr(error, "retryable", True) and tries < len(self._pauses)
            except Exception:  # the edge of the task: a bug here must not end the service's search
                _logger.exception("embedding_model_not_prepared", model=wanted.model)
                self._error, kept_on = "Something went wrong.", False
            else:
                self._missing.progress, self._error, self._failed = None, None, False
                return True
            if not kept_on:
                self._failed = True
                _logger.error("embedding_model_failed", model=wanted.model, reason=self._error)
                return False
            await self._sleep(self._pauses[tries] * random.uniform(0.8, 1.2))  # noqa: S311  no secret hangs on it
            tries += 1

    async def _bring(self, wanted: Embeddings, again: bool) -> None:
        began = time.monotonic()
        await wanted.open()
        await self._missing.note_dimensions(wanted)
        former = self._index.serving.embeddings
        adopting = again or former is not wanted
        while await self._missing.embed(wanted) or adopting:
            await self._index.adopt(wanted, StoredChunks(self._database, wanted.model, wanted.dimensions))
            adopting = False
        if former is not wanted:
            seconds = round(time.monotonic() - began, 3)
            _logger.info("embedding_model_serves", model=wanted.model, before=former.model, seconds=seconds)
            self._retire(former)
        await self._missing.clean_up(wanted.model)

    def _retire(self, embeddings: Embeddings) -> None:
        """Let go of a model once nobody uses it any more."""

        async def close() -> None:
            await asyncio.sleep(RETIRED_SECONDS)
            if embeddings not in (self.wanted, self._index.serving.embeddings):
                await embeddings.aclose()
                self._open.discard(embeddings)

        closing = asyncio.create_task(close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


def _reason(error: ProviderError | SQLAlchemyError) -> str:
    return error.message if isinstance(error, AskGraphError) else "The database does not answer."
