"""Queries of documents and their chunks. Nothing here commits: that is the unit of work's, around it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.models import Chunk, Document, IndexState

_STATE = (
    Document.id,
    Document.name,
    Document.title,
    Document.media_type,
    Document.size_bytes,
    Document.checksum,
    Document.modified_ns,
    Document.recipe,
    Document.status,
    Document.error_message,
    Document.chunks_count,
    Document.created_at,
    Document.updated_at,
)
_PLACE = (
    Chunk.row,
    Chunk.id,
    Chunk.document_id,
    Chunk.kind,
    Chunk.section,
    Chunk.page,
    Chunk.start,
    Chunk.end,
    Chunk.question,
    Chunk.answer_start,
    Chunk.answer_end,
)

AnyRow = Row[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class DocumentState:
    """All of a document but its text."""

    id: str
    name: str
    title: str
    media_type: str
    size_bytes: int
    checksum: str
    modified_ns: int
    recipe: str
    status: str
    error_message: str | None
    chunks_count: int
    created_at: datetime
    updated_at: datetime


class KnowledgeRepository:
    """The documents and chunks as one session sees them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def documents(self) -> list[DocumentState]:
        """Every document, by name."""
        rows: Iterable[AnyRow] = await self._session.execute(select(*_STATE).order_by(Document.name))
        return [DocumentState(*row) for row in rows]

    async def texts(self, document_ids: Sequence[str]) -> dict[str, str]:
        """The whole texts of documents, by id."""
        rows = await self._session.execute(select(Document.id, Document.text).where(Document.id.in_(document_ids)))
        return {document_id: text for document_id, text in rows}

    async def text_range(self, document_id: str, start: int, length: int) -> tuple[str, int] | None:
        """`length` characters of a text from `start`, and how many it has in all; None when the document is gone."""
        query = select(func.substr(Document.text, start + 1, length), func.length(Document.text))
        row = (await self._session.execute(query.where(Document.id == document_id))).one_or_none()
        return None if row is None else (row[0], row[1])

    async def save(self, values: Mapping[str, Any]) -> None:
        """Add the document of id `values["id"]`, or change what `values` names of it."""
        changed = await self._session.execute(
            update(Document).where(Document.id == values["id"]).values(**values).returning(Document.id)
        )
        if changed.one_or_none() is None:
            await self._session.execute(insert(Document).values(**values))

    async def remove(self, document_id: str) -> list[int]:
        """Remove a document with its chunks; the chunks' rows."""
        rows = await self.remove_chunks(document_id)
        await self._session.execute(delete(Document).where(Document.id == document_id))
        return rows

    async def add_chunks(self, document_id: str, chunks: Sequence[Mapping[str, Any]]) -> list[AnyRow]:
        """Add the chunks of a document that has none; `(row, id)` of each, in order."""
        if chunks:
            values = [{"document_id": document_id, "ordinal": n, **chunk} for n, chunk in enumerate(chunks)]
            await self._session.execute(insert(Chunk), values)
        query = select(Chunk.row, Chunk.id).where(Chunk.document_id == document_id).order_by(Chunk.ordinal)
        return list(await self._session.execute(query))

    async def remove_chunks(self, document_id: str) -> list[int]:
        """Remove a document's chunks; their rows."""
        removed = await self._session.execute(
            delete(Chunk).where(Chunk.document_id == document_id).returning(Chunk.row)
        )
        return list(removed.scalars())

    async def chunks_of(self, document_ids: Sequence[str]) -> list[AnyRow]:
        """The chunks of documents with their embeddings (last column), in the order of their rows."""
        query = select(*_PLACE, Chunk.embedding).where(Chunk.document_id.in_(document_ids)).order_by(Chunk.row)
        return list(await self._session.execute(query))

    async def chunks_at(self, rows: Sequence[int]) -> list[AnyRow]:
        """Chunks by row, with their document's name, title and their text (last three columns)."""
        text = func.substr(Document.text, Chunk.start + 1, Chunk.end - Chunk.start)
        query = select(*_PLACE, Document.name, Document.title, text).join(Document).where(Chunk.row.in_(rows))
        return list(await self._session.execute(query))

    async def documents_embedded_otherwise(self, model: str) -> list[str]:
        """Ids of the documents that have a chunk embedded by another model than `model`."""
        foreign = exists().where(Chunk.document_id == Document.id, Chunk.embedding_model != model)
        return list((await self._session.execute(select(Document.id).where(foreign))).scalars())

    async def set_embeddings(self, model: str, embeddings: Iterable[tuple[int, bytes]]) -> None:
        """Give chunks, by row, new embeddings."""
        values = [{"row": row, "embedding": data, "embedding_model": model} for row, data in embeddings]
        await self._session.execute(update(Chunk), values)

    async def generation(self) -> int:
        """How often the chunks have changed."""
        return (await self._session.execute(select(IndexState.generation))).scalar_one()

    async def next_generation(self) -> int:
        """Count one more change of the chunks."""
        query = update(IndexState).values(generation=IndexState.generation + 1).returning(IndexState.generation)
        return (await self._session.execute(query)).scalar_one()
