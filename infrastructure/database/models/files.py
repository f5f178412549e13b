"""Files that people brought, and the chats that they belong to. Their bytes are in storage, under their id."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from infrastructure.database.models.base import Base, BigInteger, UtcDateTime, new_id

_WAITING = text("status IN ('uploaded', 'processing')")


class File(Base):
    """An upload. Without an owner it is anonymous: reachable by its id alone, and in nobody's list.

    While it is `processing` a worker holds it until `leased_until`; one that is not heard of by then has died, and the
    file is taken up again. What failed for a passing reason waits until `retry_at`.
    """

    __tablename__ = "file"
    __table_args__ = (
        UniqueConstraint("owner_id", "checksum"),  # anonymous ones differ: null is no value
        CheckConstraint("status IN ('uploaded', 'processing', 'ready', 'failed')", name="status"),
        Index(None, "owner_id", "created_at", "id"),  # a page of an owner's list
        Index("IX__file__waiting", "created_at", sqlite_where=_WAITING, postgresql_where=_WAITING),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True, default=new_id)
    owner_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False), ForeignKey("user.id", ondelete="CASCADE"))
    original_filename: Mapped[str] = mapped_column(Text)
    mime_type: Mapped[str] = mapped_column(String(200))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    checksum: Mapped[str] = mapped_column(String(64))  # SHA-256 of the bytes, hexadecimal
    status: Mapped[str] = mapped_column(String(10))
    stage: Mapped[str | None] = mapped_column(String(20))  # reading, embedding, saving; null before and after
    chunks_processed: Mapped[int]
    total_chunks_expected: Mapped[int | None]  # known once it is read
    chunks_count: Mapped[int]  # that can be found
    error_message: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int]
    worker: Mapped[str | None] = mapped_column(String(64))
    leased_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    retry_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ChatFile(Base):
    """A file that belongs to a chat: its questions look there first."""

    __tablename__ = "chat_file"

    chat_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("chat.id", ondelete="CASCADE"), primary_key=True
    )
    file_id: Mapped[str] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("file.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    attached_at: Mapped[datetime] = mapped_column(UtcDateTime)
