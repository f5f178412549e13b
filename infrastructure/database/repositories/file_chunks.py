"""Chunks of a file on their way into the database: a batch with its embeddings, as long as the file is the lease's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select, update

from infrastructure.database.models import Chunk, ChunkEmbedding, File
from infrastructure.database.rows import Rows, inserting

_file: Any = File.__table__
_chunk: Any = Chunk.__table__
_embedding: Any = ChunkEmbedding.__table__

_COUNT = (
    update(_file)
    .where(_file.c.id == bindparam("of_file"), _file.c.worker == bindparam("lease"), _file.c.status == "processing")
    .values(chunks_processed=bindparam("done"), leased_until=bindparam("until"), updated_at=bindparam("at"))
)
_ADD_CHUNKS = inserting(
    _chunk, "id", "document_id", "ordinal", "kind", "section", "page", "start", "end", "question", "answer_start",
    "answer_end",
)  # fmt: skip
# By row and not by ordinal: a row is found in an index, where for the ordinal all of the document's would be looked at.
_ADDED = (
    select(_chunk.c.row)
    .where(_chunk.c.document_id == bindparam("document_id"), _chunk.c.row > bindparam("last"))
    .order_by(_chunk.c.ordinal)
)
_ADD_EMBEDDINGS = inserting(_embedding, "chunk_row", "model", "embedding")


@dataclass(frozen=True, slots=True)
class ChunkBatch:
    """Chunks `first` and on of the document of a file (the two have one id), with what `model` makes of each.

    `last_row` is the row of the document's last chunk so far, 0 when there is none. `embeddings` is empty where there
    is no model to make any for now. `until`: the lease's new end.
    """

    file_id: str
    lease: str
    first: int
    last_row: int
    chunks: Sequence[Mapping[str, Any]]
    model: str
    embeddings: Sequence[bytes]
    at: datetime
    until: datetime


async def add_chunk_batch(rows: Rows, batch: ChunkBatch) -> list[int] | None:
    """Add a batch and count it as processed; the chunks' rows. None, and nothing is done, when the file is not the
    lease's any more."""
    counted = {
        "of_file": batch.file_id, "lease": batch.lease, "done": batch.first + len(batch.chunks), "until": batch.until,
        "at": batch.at,
    }  # fmt: skip
    if not await rows.change(_COUNT, [counted]):
        return None
    values = [
        {"document_id": batch.file_id, "ordinal": ordinal, **chunk}
        for ordinal, chunk in enumerate(batch.chunks, batch.first)
    ]
    await rows.change(_ADD_CHUNKS, values)
    found = await rows.find(_ADDED, [{"document_id": batch.file_id, "last": batch.last_row}])
    added = [row[0] for row in found]
    if batch.embeddings:
        pairs = zip(added, batch.embeddings, strict=True)
        values = [{"chunk_row": row, "model": batch.model, "embedding": data} for row, data in pairs]
        await rows.change(_ADD_EMBEDDINGS, values)
    return added
