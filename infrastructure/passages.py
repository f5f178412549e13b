"""A passage: a piece of a document's extracted text, with the place that it came from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk that retrieval found. `text` is exactly `[start, end)` of the document's extracted text (code points)."""

    document: str  # the document's name: its path below the knowledge folder, with forward slashes
    document_id: str
    chunk_id: str
    title: str
    text: str
    start: int
    end: int
    score: float  # relevance in [0, 1]: comparable within one search, not a probability
    section: str | None = None  # headings above the text, outermost first, joined by " > "
    page: int | None = None  # 1-based, for formats that have pages
