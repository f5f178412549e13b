"""The vectors that chunks lack: made by a model in batches, bit by bit, and those of former models removed."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from infrastructure.database.engine import Database
from infrastructure.database.repositories.embedding_models import EmbeddingModelRepository, EmbeddingRepository
from infrastructure.database.repositories.knowledge import KnowledgeRepository
from services.embedding_specs import ModelSpec, spec_of_kept
from services.embeddings import Embeddings
from services.knowledge.records import ChunkRecord
from services.knowledge.rows import embedding_bytes
from services.knowledge.stored import StoredChunks

_logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

T = TypeVar("T")
BATCH = 256  # chunks of one transaction: some 5 ms of SQLite's one writer
_DOCUMENTS = 256  # looked for at once: in a batch there can be as many
_REMOVED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Progress:
    """Chunks that a model has embedded, and how many there are."""

    done: int
    total: int


class MissingVectors:
    """Whatever is done is kept at once, so it can be left at any time and gone on with later.

    All methods raise ProviderError when the model gives no vectors, and SQLAlchemyError when the database is away.
    """

    def __init__(self, database: Database, batch: int = BATCH) -> None:
        self._database = database
        self._batch = batch
        self.progress: Progress | None = None
        """Of the model that embeds; None when nothing was lacking."""

    async def embed(self, wanted: Embeddings) -> int:
        """Embed what the model has not embedded; how many chunks it was."""
        embedded, after = 0, None
        while True:
            async with self._database.read() as session:
                ids = await EmbeddingRepository(session).documents_lacking(wanted.model, after, _DOCUMENTS)
            if not ids:
                return embedded
            if after is None:
                await self._count(wanted.model)
            async with aclosing(self._batches(wanted, ids)) as batches:
                async for some in batches:
                    embedded += await self._embed(wanted, some)
            after = ids[-1]

    async def _batches(self, wanted: Embeddings, ids: Sequence[str]) -> AsyncGenerator[list[ChunkRecord], None]:
        """What is lacking of these documents, several small ones together: a request for each would take long."""
        waiting: list[ChunkRecord] = []
        for document_id in ids:
            waiting += await self._lacking(wanted, document_id)
            while len(waiting) >= self._batch:
                yield waiting[: self._batch]
                waiting = waiting[self._batch :]
        if waiting:
            yield waiting

    async def _lacking(self, wanted: Embeddings, document_id: str) -> list[ChunkRecord]:
        async with self._database.read() as session:
            document = await KnowledgeRepository(session).document(document_id)
            lacking = set(await EmbeddingRepository(session).rows_lacking(wanted.model, document_id))
        if document is None:
            return []
        stored = StoredChunks(self._database, wanted.model, wanted.dimensions)
        return [record for record in (await stored.of_documents([document]))[0] if record.row in lacking]

    async def _embed(self, wanted: Embeddings, records: Sequence[ChunkRecord]) -> int:
        vectors = await wanted.embed([record.index_text() for record in records])
        data = [(record.row, embedding_bytes(vector)) for record, vector in zip(records, vectors, strict=True)]
        added = await _to_its_end(self._add(wanted.model, data))
        if self.progress is not None:
            done = self.progress.done + len(records)
            self.progress = Progress(done, max(done, self.progress.total))
        return added

    async def _add(self, model: str, data: list[tuple[int, bytes]]) -> int:
        async with self._database.write() as session:
            return await EmbeddingRepository(session).add(model, data)

    async def _count(self, model: str) -> None:
        async with self._database.read() as session:
            repository = EmbeddingRepository(session)
            self.progress = Progress((await repository.embedded()).get(model, 0), await repository.chunks())
        _logger.info("embedding_model_prepares", model=model, done=self.progress.done, chunks=self.progress.total)

    async def note_dimensions(self, wanted: Embeddings) -> None:
        if spec := spec_of_kept(wanted.model):
            await _to_its_end(self._note(spec, wanted.dimensions))

    async def _note(self, spec: ModelSpec, dimensions: int) -> None:
        async with self._database.write() as session:
            await EmbeddingModelRepository(session).note_dimensions(spec.provider, spec.name, dimensions)

    async def clean_up(self, model: str) -> None:
        """Remove what other models made, a little at a time."""
        removed, some = 0, _REMOVED_AT_ONCE
        while some == _REMOVED_AT_ONCE:
            some = await _to_its_end(self._remove_some(model))
            removed += some
        if removed:
            _logger.info("embeddings_removed", embeddings=removed)

    async def _remove_some(self, model: str) -> int:
        async with self._database.write() as session:
            return await EmbeddingRepository(session).remove_some_but(model, _REMOVED_AT_ONCE)


async def _to_its_end(writing: Coroutine[Any, Any, T]) -> T:
    """Let a short transaction end although this is cancelled: one that is cut off keeps the lock of SQLite's one writer
    until its connection is gone."""
    task = asyncio.ensure_future(writing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
