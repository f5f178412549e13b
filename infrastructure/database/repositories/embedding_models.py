"""Queries of embedding models and of what each has embedded. Nothing here commits: that is the unit of work's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, delete, exists, func, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.models import Chunk, ChunkEmbedding, Document, EmbeddingModel

_COLUMNS = (
    EmbeddingModel.id,
    EmbeddingModel.name,
    EmbeddingModel.description,
    EmbeddingModel.provider,
    EmbeddingModel.dimensions,
    EmbeddingModel.is_default,
    EmbeddingModel.created_at,
    EmbeddingModel.updated_at,
)
_ROWS_A_QUERY = 500  # below SQLite's oldest limit of 999 variables


@dataclass(frozen=True, slots=True)
class EmbeddingModelRow:
    """A model as the table has it."""

    id: str
    name: str
    description: str | None
    provider: str
    dimensions: int | None
    is_default: bool
    created_at: datetime
    updated_at: datetime


class EmbeddingModelRepository:
    """The models that are known."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def all(self) -> list[EmbeddingModelRow]:
        """Every model, in the order of coming."""
        query = select(*_COLUMNS).order_by(EmbeddingModel.created_at, EmbeddingModel.id)
        return [EmbeddingModelRow(*row) for row in await self._session.execute(query)]

    async def get(self, model_id: str) -> EmbeddingModelRow | None:
        rows = await self._session.execute(select(*_COLUMNS).where(EmbeddingModel.id == model_id))
        return next((EmbeddingModelRow(*row) for row in rows), None)

    async def add(self, values: Mapping[str, Any]) -> None:
        """
        Raises:
            IntegrityError: there is one of that name, or another default.
        """
        await self._session.execute(insert(EmbeddingModel).values(**values))

    async def change(self, model_id: str, values: Mapping[str, Any]) -> None:
        await self._session.execute(update(EmbeddingModel).where(EmbeddingModel.id == model_id).values(**values))

    async def make_default(self, model_id: str, now: datetime) -> None:
        """Make this one the default, and no other."""
        others = EmbeddingModel.is_default, EmbeddingModel.id != model_id
        await self._session.execute(update(EmbeddingModel).where(*others).values(is_default=False, updated_at=now))
        await self.change(model_id, {"is_default": True, "updated_at": now})

    async def note_dimensions(self, provider: str, name: str, dimensions: int) -> None:
        """Keep what was learnt of a model, if it is in the table."""
        known = EmbeddingModel.provider == provider, EmbeddingModel.name == name
        await self._session.execute(update(EmbeddingModel).where(*known).values(dimensions=dimensions))

    async def remove(self, model_id: str) -> None:
        await self._session.execute(delete(EmbeddingModel).where(EmbeddingModel.id == model_id))


class EmbeddingRepository:
    """What the models have made of the chunks of ready documents."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def chunks(self) -> int:
        """How many chunks there are to be embedded."""
        ready = select(Document.id).where(Document.status == "ready")
        query = select(func.count()).select_from(Chunk).where(Chunk.document_id.in_(ready))
        return int((await self._session.execute(query)).scalar_one())

    async def embedded(self) -> dict[str, int]:
        """How many chunks each model has embedded."""
        query = select(ChunkEmbedding.model, func.count()).group_by(ChunkEmbedding.model)
        return {row[0]: row[1] for row in await self._session.execute(query)}

    async def documents_lacking(self, model: str, after: str | None, limit: int) -> list[str]:
        """Ids of ready documents that have a chunk which `model` has not embedded, in their order, from `after` on."""
        done = exists().where(ChunkEmbedding.chunk_row == Chunk.row, ChunkEmbedding.model == model)
        lacking = exists().where(Chunk.document_id == Document.id, ~done)
        query = select(Document.id).where(Document.status == "ready", lacking).order_by(Document.id).limit(limit)
        if after is not None:
            query = query.where(Document.id > after)
        return list((await self._session.execute(query)).scalars())

    async def rows_lacking(self, model: str, document_id: str) -> list[int]:
        """The rows of a document's chunks that `model` has not embedded."""
        done = exists().where(ChunkEmbedding.chunk_row == Chunk.row, ChunkEmbedding.model == model)
        query = select(Chunk.row).where(Chunk.document_id == document_id, ~done).order_by(Chunk.row)
        return list((await self._session.execute(query)).scalars())

    async def add(self, model: str, embeddings: Sequence[tuple[int, bytes]]) -> int:
        """What `model` makes of chunks, by row; how many were added. A chunk that is gone meanwhile is left out, and so
        is one that another process has embedded."""
        there: set[int] = set()
        for at in range(0, len(embeddings), _ROWS_A_QUERY):
            rows = [row for row, _ in embeddings[at : at + _ROWS_A_QUERY]]
            query = select(Chunk.row).where(Chunk.row.in_(rows)).with_for_update(read=True, key_share=True)
            there.update((await self._session.execute(query)).scalars())
        values = [{"chunk_row": row, "model": model, "embedding": data} for row, data in embeddings if row in there]
        if values:
            insert_into: Any = sqlite.insert if self._session.get_bind().dialect.name == "sqlite" else postgresql.insert
            await self._session.execute(insert_into(ChunkEmbedding).on_conflict_do_nothing(), values)
        return len(values)

    async def remove_some_but(self, model: str, most: int) -> int:
        """Remove up to `most` embeddings of other models; how many there were."""
        key = (ChunkEmbedding.chunk_row, ChunkEmbedding.model)
        some = select(*key).where(ChunkEmbedding.model != model).limit(most)
        removed = await self._session.execute(delete(ChunkEmbedding).where(tuple_(*key).in_(some)))
        return cast("CursorResult[Any]", removed).rowcount
