"""Queries of documents and their chunks. Nothing here commits: that is the unit of work's, around it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, Row, and_, delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.models import SHARED, Chunk, ChunkEmbedding, Document
from infrastructure.database.repositories.partitions import PartitionRepository

_STATE = (
    Document.id,
    Document.file_id,
    Document.partition,
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
    file_id: str | None
    partition: str
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

    async def documents(self, partition: str = SHARED) -> list[DocumentState]:
        """Every document of a partition, by name."""
        query = select(*_STATE).where(Document.partition == partition).order_by(Document.name, Document.id)
        rows: Iterable[AnyRow] = await self._session.execute(query)
        return [DocumentState(*row) for row in rows]

    async def document(self, document_id: str) -> DocumentState | None:
        """One document, of whichever partition."""
        rows: Iterable[AnyRow] = await self._session.execute(select(*_STATE).where(Document.id == document_id))
        return next((DocumentState(*row) for row in rows), None)

    async def text_and_pages(self, document_id: str) -> tuple[str, list[list[int]] | None] | None:
        """A document's whole text, and `[page, start, end]` of each of its pages if it has any."""
        query = select(Document.text, Document.pages).where(Document.id == document_id)
        row = (await self._session.execute(query)).one_or_none()
        return None if row is None else (row[0], row[1])

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

    async def add_chunks(
        self, document_id: str, chunks: Sequence[Mapping[str, Any]], *, first: int = 0
    ) -> list[AnyRow]:
        """Add chunks of a document, those from number `first` on; `(row, id)` of each, in order."""
        if chunks:
            values = [{"document_id": document_id, "ordinal": n, **chunk} for n, chunk in enumerate(chunks, first)]
            await self._session.execute(insert(Chunk), values)
        query = select(Chunk.row, Chunk.id).where(Chunk.document_id == document_id, Chunk.ordinal >= first)
        return list(await self._session.execute(query.order_by(Chunk.ordinal)))

    async def add_embeddings(self, model: str, embeddings: Iterable[tuple[int, bytes]]) -> None:
        """What `model` makes of chunks, by row; none of them has one of this model yet."""
        values = [{"chunk_row": row, "model": model, "embedding": data} for row, data in embeddings]
        if values:
            await self._session.execute(insert(ChunkEmbedding), values)

    async def remove_embeddings_but(self, model: str) -> int:
        """Drop what other models made of chunks; how many."""
        removed = await self._session.execute(
            delete(ChunkEmbedding).where(ChunkEmbedding.model != model).returning(ChunkEmbedding.chunk_row)
        )
        return len(removed.all())

    async def remove_chunks(self, document_id: str) -> list[int]:
        """Remove a document's chunks; their rows."""
        removed = await self._session.execute(
            delete(Chunk).where(Chunk.document_id == document_id).returning(Chunk.row)
        )
        return list(removed.scalars())

    async def remove_some_chunks(self, document_id: str, most: int) -> int:
        """Remove up to `most` of a document's chunks; how many there were. What has very many is so removed in several
        short transactions."""
        some = select(Chunk.row).where(Chunk.document_id == document_id).order_by(Chunk.row).limit(most)
        removed = await self._session.execute(delete(Chunk).where(Chunk.row.in_(some.scalar_subquery())))
        return cast("CursorResult[Any]", removed).rowcount

    async def rows_of(self, document_id: str) -> list[int]:
        """The rows of a document's chunks."""
        return list((await self._session.execute(select(Chunk.row).where(Chunk.document_id == document_id))).scalars())

    async def chunks_of(self, document_ids: Sequence[str], model: str) -> list[AnyRow]:
        """The chunks of documents with their embeddings by `model` (last column, None where it has made none), in the
        order of their rows."""
        of_chunk = and_(ChunkEmbedding.chunk_row == Chunk.row, ChunkEmbedding.model == model)
        query = (
            select(*_PLACE, ChunkEmbedding.embedding)
            .outerjoin(ChunkEmbedding, of_chunk)
            .where(Chunk.document_id.in_(document_ids))
            .order_by(Chunk.row)
        )
        return list(await self._session.execute(query))

    async def places_of(self, document_id: str, before: int) -> list[AnyRow]:
        """The chunks of a document that begin at `before` or earlier, in order."""
        query = select(*_PLACE).where(Chunk.document_id == document_id, Chunk.start <= before)
        return list(await self._session.execute(query.order_by(Chunk.ordinal)))

    async def chunks_at(self, rows: Sequence[int]) -> list[AnyRow]:
        """Chunks by row, with their document's name, title and their text (last three columns)."""
        text = func.substr(Document.text, Chunk.start + 1, Chunk.end - Chunk.start)
        query = select(*_PLACE, Document.name, Document.title, text).join(Document).where(Chunk.row.in_(rows))
        return list(await self._session.execute(query))

    async def documents_not_embedded(self, model: str, limit: int | None = None) -> list[str]:
        """Ids of ready documents that have a chunk which `model` has not embedded, of all partitions."""
        done = exists().where(ChunkEmbedding.chunk_row == Chunk.row, ChunkEmbedding.model == model)
        lacking = exists().where(Chunk.document_id == Document.id, ~done)
        query = select(Document.id).where(lacking, Document.status == "ready").order_by(Document.id).limit(limit)
        return list((await self._session.execute(query)).scalars())

    async def freeze(self) -> None:
        """Have all that is read from now on be of one moment; to be called first. SQLite does so anyway."""
        if self._session.get_bind().dialect.name != "sqlite":
            await self._session.connection(execution_options={"isolation_level": "REPEATABLE READ"})

    async def ready(self, document_ids: Sequence[str]) -> list[DocumentState]:
        """Those of the documents that can be found."""
        query = select(*_STATE).where(Document.id.in_(document_ids), Document.status == "ready")
        rows: Iterable[AnyRow] = await self._session.execute(query)
        return [DocumentState(*row) for row in rows]

    async def rows_of_all(self, document_ids: Sequence[str]) -> list[tuple[int, str]]:
        """`(row, document)` of the chunks of documents."""
        query = select(Chunk.row, Chunk.document_id).where(Chunk.document_id.in_(document_ids)).order_by(Chunk.row)
        return [(row[0], row[1]) for row in await self._session.execute(query)]

    async def generation(self, partition: str = SHARED) -> int:
        """How often the partition's chunks have changed."""
        return await PartitionRepository(self._session).generation(partition)

    async def next_generation(self, partition: str = SHARED, documents: Collection[str] = ()) -> int:
        """Count one more change of the partition's chunks: it was about `documents`, all of them."""
        return await PartitionRepository(self._session).next(partition, documents)
