"""A chunk as search sees it: a row of the database with its document's name and title beside it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """A chunk of a document. Offsets count code points of the document's extracted text.

    `row` is the chunk's integer primary key, never used twice: the key in the lexical index and the vector store.
    `text` is exactly `[start, end)` of the document's text. A curated entry (`kind` "qa") has its question, and the
    place of its answer in the document's text.
    """

    row: int
    chunk_id: str
    document_id: str
    document: str  # the document's name
    title: str
    section: str | None
    page: int | None
    start: int
    end: int
    text: str
    kind: str = "text"  # "text" | "qa"
    question: str | None = None
    answer_start: int | None = None
    answer_end: int | None = None

    def index_text(self) -> str:
        """What is embedded: title, section and text, so that a chunk is found by what stands above it as well."""
        return index_text(self.title, self.section, self.text)


def index_text(title: str, section: str | None, text: str) -> str:
    """What `ChunkRecord.index_text` gives, for a chunk that has no row yet."""
    return "\n".join(part for part in (title, section, text) if part)
