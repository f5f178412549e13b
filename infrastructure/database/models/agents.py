"""Agents, which people make for a task of their own, and what answering has used up."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Date, ForeignKey, String, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from infrastructure.database.models.base import Base, BigInteger, UtcDateTime, new_id


class Agent(Base):
    """How questions of a chat are answered: by which words, model, tools and knowledge. Without an owner it is shared:
    anybody may use it, and admins change it.
    """

    __tablename__ = "agent"
    __table_args__ = (CheckConstraint("answers IN ('open', 'knowledge_only')", name="answers"),)

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True, default=new_id)
    owner_id: Mapped[str | None] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("user.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str | None] = mapped_column(Text)
    prompt: Mapped[str] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(String(300))  # provider/model; null: the service's own choice
    tools: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))  # names; null: all that there are
    knowledge_scope: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # files, shared
    answers: Mapped[str] = mapped_column(String(20))
    starter_messages: Mapped[list[dict[str, str]]] = mapped_column(JSON)
    is_visible: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class UsageDay(Base):
    """What a user's questions used on a day (UTC), of each model.

    `caller` is the user's id; all anonymous callers together are `anonymous`, without a user: no address is kept.
    """

    __tablename__ = "usage_day"

    caller: Mapped[str] = mapped_column(String(36), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True, index=True)
    model: Mapped[str] = mapped_column(String(200), primary_key=True)
    user_id: Mapped[str | None] = mapped_column(
        Uuid(as_uuid=False), ForeignKey("user.id", ondelete="CASCADE"), index=True
    )
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    questions: Mapped[int] = mapped_column(BigInteger)
