"""Conversations: chats, their messages, the runs that wrote the answers, and what readers thought of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Float, ForeignKey, Index, String, Text, UniqueConstraint, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from infrastructure.database.models.base import Base, BigInteger, UtcDateTime, new_id


class Chat(Base):
    """A conversation. Without a user it is anonymous: reachable by its id alone, and in nobody's list.

    `last_position` is the highest position given to a message, so that two writers of one chat keep a total order.
    """

    __tablename__ = "chat"
    __table_args__ = (
        Index(None, "user_id", "updated_at", "id"),  # a page of a user's list
        Index(None, "updated_at"),  # what has been idle for long
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True, default=new_id)
    user_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False), ForeignKey("user.id", ondelete="CASCADE"))
    agent_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))
    title: Mapped[str | None] = mapped_column(String(255))
    details: Mapped[dict[str, Any]] = mapped_column(JSON)  # the client's own `metadata`
    is_archived: Mapped[bool]
    message_count: Mapped[int]
    last_position: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ChatMessage(Base):
    """A message. A user's takes an odd position, the answer to it the even one behind.

    `parent_id` is the message before it: edits and regenerated answers branch off. What such a branch left behind has
    `superseded_at`; the conversation as it stands is all messages without, in the order of their positions.
    """

    __tablename__ = "chat_message"
    __table_args__ = (
        UniqueConstraint("chat_id", "position"),
        CheckConstraint("role IN ('user', 'assistant', 'system', 'tool')", name="role"),
        CheckConstraint("status IN ('complete', 'incomplete', 'error')", name="status"),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True, default=new_id)
    chat_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("chat.id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column(BigInteger)
    parent_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))  # no constraint: chats are deleted in one go
    role: Mapped[str] = mapped_column(String(10))
    content: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(10))
    run_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))  # the run that wrote it
    tool_calls: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))
    tool_call_id: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    superseded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Run(Base):
    """A question being answered, and how it ended. `outcome` is null while it is under way."""

    __tablename__ = "run"
    __table_args__ = (
        UniqueConstraint("chat_id", "request_id"),
        Index(
            "IX__run__unfinished",
            "started_at",
            sqlite_where=text("outcome IS NULL"),
            postgresql_where=text("outcome IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    chat_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("chat.id", ondelete="CASCADE"))
    user_message_id: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    answer_id: Mapped[str] = mapped_column(Uuid(as_uuid=False))  # the assistant message's, made beforehand
    answer_position: Mapped[int] = mapped_column(BigInteger)
    request_id: Mapped[str | None] = mapped_column(String(128))  # the client's; null once it is forgotten
    request_digest: Mapped[str | None] = mapped_column(String(64))  # of the question that came with it
    asked: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # how, where not as usual
    worker: Mapped[str] = mapped_column(String(64))  # the process that has it
    fence: Mapped[int] = mapped_column(server_default="1")  # one more each time that another process takes it over
    attempts: Mapped[int] = mapped_column(server_default="1")  # how often it was begun
    outcome: Mapped[str | None] = mapped_column(String(64))  # complete, no_relevant_answer, cancelled, or an error kind
    model: Mapped[str | None] = mapped_column(String(200))
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    confidence: Mapped[float | None] = mapped_column(Float)
    grounded: Mapped[bool | None]
    citations: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))
    finish_reason: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    last_seq: Mapped[int | None]  # of its frames
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    first_token_ms: Mapped[float | None] = mapped_column(Float)
    duration_ms: Mapped[float | None] = mapped_column(Float)


class Feedback(Base):
    """What a reader thought of an answer: one for each message."""

    __tablename__ = "feedback"
    __table_args__ = (UniqueConstraint("message_id"),)

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True, default=new_id)
    message_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("chat_message.id", ondelete="CASCADE"))
    is_positive: Mapped[bool]
    feedback_text: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
