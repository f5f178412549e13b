"""Documents of the knowledge, their chunks, what embedded these, and how often they have changed."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, LargeBinary, String, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from infrastructure.database.models.base import Base, BigInteger, UtcDateTime, new_id

SHARED = ""  # the partition of the knowledge folder
_SHARED_ONLY = text("file_id IS NULL")
_DEFAULT_ONLY = text("is_default")


class Document(Base):
    """Something that was read: a file of the knowledge folder, or an upload (`file_id`, which is its id as well).

    `text` is what citations count in; a failed one has none. One that is `indexing` has not all of its chunks yet, and
    is not searched. `partition` tells who can find it: the shared knowledge
    (`SHARED`), an owner's files (the user's id), or one anonymous file (its own id).
    """

    __tablename__ = "document"
    __table_args__ = (
        CheckConstraint("status IN ('indexing', 'ready', 'failed')", name="status"),
        Index(
            "IX__document__shared_name", "name", unique=True, sqlite_where=_SHARED_ONLY, postgresql_where=_SHARED_ONLY
        ),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True, default=new_id)
    file_id: Mapped[str | None] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("file.id", ondelete="CASCADE"), index=True
    )
    partition: Mapped[str] = mapped_column(String(36), index=True)
    name: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    media_type: Mapped[str] = mapped_column(String(200))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    checksum: Mapped[str] = mapped_column(String(64))  # SHA-256 of the file's bytes, hexadecimal
    modified_ns: Mapped[int] = mapped_column(BigInteger)
    recipe: Mapped[str] = mapped_column(String(50))  # how it was read and cut; another one, and it is read anew
    text: Mapped[str] = mapped_column(Text, deferred=True)  # up to megabytes: only where it is asked for
    pages: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True), deferred=True)  # [[page, start, end], …]
    status: Mapped[str] = mapped_column(String(10))
    error_message: Mapped[str | None] = mapped_column(Text)
    chunks_count: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Chunk(Base):
    """A piece of a document.

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


class ChunkEmbedding(Base):
    """What one model makes of a chunk. Two models' stand side by side while one takes the other's place."""

    __tablename__ = "chunk_embedding"

    chunk_row: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("chunk.row", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    model: Mapped[str] = mapped_column(String(200), primary_key=True)
    embedding: Mapped[bytes] = mapped_column(LargeBinary)  # float32, little-endian, of length 1


class EmbeddingModel(Base):
    """A model that embeds. One is the default: what it made is searched."""

    __tablename__ = "embedding_model"
    __table_args__ = (
        Index("UQ__embedding_model__name", "name", unique=True),
        Index(
            "UQ__embedding_model__default", "is_default", unique=True,
            sqlite_where=_DEFAULT_ONLY, postgresql_where=_DEFAULT_ONLY,
        ),
    )  # fmt: skip

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str | None] = mapped_column(Text)
    provider: Mapped[str] = mapped_column(String(20))
    dimensions: Mapped[int | None]  # known once it has embedded something
    is_default: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class PartitionState(Base):
    """How often a partition's chunks have changed, to tell whether an index beside the database is up to date."""

    __tablename__ = "partition_state"

    partition: Mapped[str] = mapped_column(String(36), primary_key=True)
    generation: Mapped[int] = mapped_column(BigInteger)


class PartitionChange(Base):
    """Which documents a change of a partition was about, kept for a while: indexes of other processes look there."""

    __tablename__ = "partition_change"

    partition: Mapped[str] = mapped_column(String(36), primary_key=True)
    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    document_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)  # it may be gone


class FolderKeeper(Base):
    """The process that takes in the knowledge folder for all, until another time than this one finds it silent.

    `looked`: whether the folder was ever looked at to the end. `asked` counts who wanted all of it read anew, and
    `done` how many of them have been served.
    """

    __tablename__ = "folder_keeper"

    folder: Mapped[str] = mapped_column(String(20), primary_key=True)
    keeper: Mapped[str | None] = mapped_column(String(64))
    until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    looked: Mapped[bool]
    asked: Mapped[int] = mapped_column(BigInteger)
    done: Mapped[int] = mapped_column(BigInteger)
