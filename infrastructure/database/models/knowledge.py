"""Documents of the knowledge, their chunks, and how often these have changed."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary, String, Text, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from infrastructure.database.models.base import Base, BigInteger, UtcDateTime, new_id


class Document(Base):
    """A file of the knowledge, read. `text` is what citations count in; a failed one has none."""

    __tablename__ = "document"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint("status IN ('ready', 'failed')", name="status"),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    media_type: Mapped[str] = mapped_column(String(100))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    checksum: Mapped[str] = mapped_column(String(64))  # SHA-256 of the file's bytes, hexadecimal
    modified_ns: Mapped[int] = mapped_column(BigInteger)
    recipe: Mapped[str] = mapped_column(String(50))  # how it was read and cut; another one, and it is read anew
    text: Mapped[str] = mapped_column(Text, deferred=True)  # up to megabytes: only where it is asked for
    status: Mapped[str] = mapped_column(String(10))
    error_message: Mapped[str | None] = mapped_column(Text)
    chunks_count: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Chunk(Base):
    """A piece of a document and its embedding.

    Its text is not here: it is `[start, end)` of the document's text, which is kept once and sliced after reading.
    (SQL's `substr` would count characters from the document's beginning anew for every chunk.)
    """

    __tablename__ = "chunk"
    __table_args__ = ({"sqlite_autoincrement": True},)  # a row number is never used twice: other indexes keep it

    row: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), default=new_id)
    document_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("document.id", ondelete="CASCADE"), index=True
    )
    ordinal: Mapped[int]
    kind: Mapped[str] = mapped_column(String(10))
    section: Mapped[str | None] = mapped_column(Text)
    page: Mapped[int | None]
    start: Mapped[int]
    end: Mapped[int]
    question: Mapped[str | None] = mapped_column(Text)
    answer_start: Mapped[int | None]
    answer_end: Mapped[int | None]
    embedding_model: Mapped[str] = mapped_column(String(200))
    embedding: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)  # float32, little-endian, of length 1


class IndexState(Base):
    """One row: how often the chunks have changed, to tell whether an index beside the database is up to date."""

    __tablename__ = "index_state"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    generation: Mapped[int] = mapped_column(BigInteger)
