"""Whole documents, as the passages that they were cut into."""

from collections.abc import Collection
from dataclasses import replace

from infrastructure.passages import Passage
from services.knowledge.passages import to_passage
from services.knowledge.records import ChunkRecord
from services.knowledge.stored import StoredChunks


class WholeDocuments:
    """Reads documents in full, each character once."""

    def __init__(self, stored: StoredChunks) -> None:
        self._stored = stored

    async def __call__(self, documents: Collection[str], max_chars: int) -> tuple[tuple[Passage, ...], bool]:
        """The passages of documents that fit into `max_chars`, and whether that is all of them."""
        passages: list[Passage] = []
        left, document, reached = max_chars, "", 0
        for record in await self._stored.in_order(sorted(documents), max_chars):
            if record.document_id != document:
                document, reached = record.document_id, 0
            fresh = _from(record, reached)
            reached = max(reached, record.end)
            if fresh is None:
                continue
            left -= len(fresh.text)
            if left < 0:
                return tuple(passages), False
            passages.append(to_passage(fresh, 0.0))
        return tuple(passages), True


def _from(record: ChunkRecord, reached: int) -> ChunkRecord | None:
    """The part of a chunk that the ones before it have not shown; None where there is none."""
    if record.start >= reached:
        return record
    text = record.text[reached - record.start :]
    return replace(record, start=reached, text=text) if text.strip() else None
