"""From a chunk's record to the passage that is shown."""

from infrastructure.passages import Passage
from services.knowledge.records import ChunkRecord


def to_passage(record: ChunkRecord, score: float) -> Passage:
    """`record` as a passage of relevance `score`, in [0, 1]."""
    return Passage(
        document=record.document,
        document_id=record.document_id,
        chunk_id=record.chunk_id,
        title=record.title,
        text=record.text,
        start=record.start,
        end=record.end,
        score=score,
        section=record.section,
        page=record.page,
    )
