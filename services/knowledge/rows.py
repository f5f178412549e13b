"""Documents and chunks as rows of the database, and rows as records."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from infrastructure.database.models import SHARED, new_id
from infrastructure.database.repositories.knowledge import AnyRow, DocumentState
from services.knowledge.chunk import Chunk
from services.knowledge.extract import media_type
from services.knowledge.extracted import PageSpan
from services.knowledge.reading import PreparedFile
from services.knowledge.records import ChunkRecord

Vectors = npt.NDArray[np.float32]


def document_values(
    prepared: PreparedFile, known: DocumentState | None, *, recipe: str, now: datetime
) -> dict[str, Any]:
    """The columns of a document; `known` is the one that it replaces, whose id it keeps."""
    file, document = prepared.file, prepared.document
    return {
        "id": known.id if known else new_id(),
        "partition": SHARED,
        "name": file.name,
        "title": prepared.title,
        "media_type": media_type(file.name) or "",
        "size_bytes": file.size,
        "checksum": prepared.checksum,
        "modified_ns": file.modified_ns,
        "recipe": recipe,
        "text": document.text if document else "",
        "pages": page_rows(document.pages) if document else None,
        "status": "ready" if document else "failed",
        "error_message": prepared.reason,
        "chunks_count": len(prepared.chunks),
        "created_at": known.created_at if known else now,
        "updated_at": now,
    }


def page_rows(pages: Sequence[PageSpan]) -> list[list[int]] | None:
    """Pages as they are kept: `[page, start, end]` of each; None for a text without."""
    return [[one.page, one.start, one.end] for one in pages] or None


def chunk_values(chunks: Sequence[Chunk]) -> list[dict[str, Any]]:
    """The columns of chunks, but for those that tell whose they are."""
    return [
        {
            "kind": piece.kind,
            "section": piece.section,
            "page": piece.page,
            "start": piece.start,
            "end": piece.end,
            "question": piece.question,
            "answer_start": piece.answer_start,
            "answer_end": piece.answer_end,
        }
        for piece in chunks
    ]


def by_row(rows: Sequence[AnyRow], vectors: Vectors) -> list[tuple[int, bytes]]:
    """The vectors of chunks whose `(row, id)` are `rows`, each beside its row, as they are kept."""
    return [(row, embedding_bytes(vector)) for (row, _), vector in zip(rows, vectors, strict=True)]


def chunk_records(prepared: PreparedFile, document_id: str, rows: Sequence[AnyRow]) -> list[ChunkRecord]:
    """What search takes of a document just saved; `rows` are `(row, id)` of its chunks, in order."""
    return [
        ChunkRecord(
            row, chunk_id, document_id, prepared.file.name, prepared.title,
            piece.section, piece.page, piece.start, piece.end, piece.text,
            piece.kind, piece.question, piece.answer_start, piece.answer_end,
        )
        for piece, (row, chunk_id) in zip(prepared.chunks, rows, strict=True)
    ]  # fmt: skip


def record_of(place: Sequence[Any] | AnyRow, name: str, title: str, text: str) -> ChunkRecord:
    """The record of a chunk read from the database (columns as in `KnowledgeRepository`'s queries)."""
    row, chunk_id, document_id, kind, section, page, start, end, question, answer_start, answer_end = place[:11]
    return ChunkRecord(
        row, chunk_id, document_id, name, title, section, page, start, end, text,
        kind, question, answer_start, answer_end,
    )  # fmt: skip


def embedding_bytes(vector: Vectors) -> bytes:
    """A vector as it is kept: float32, little-endian."""
    return vector.astype("<f4", copy=False).tobytes()
