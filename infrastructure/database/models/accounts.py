"""Users, and what they show to be let in."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from infrastructure.database.models.base import Base, UtcDateTime, new_id


class User(Base):
    """A person with an account. Names and addresses are unique whatever their case: the keys are folded copies."""

    __tablename__ = "user"
    __table_args__ = (UniqueConstraint("username_key"), UniqueConstraint("email_key"))

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True, default=new_id)
    username: Mapped[str] = mapped_column(String(50))
    username_key: Mapped[str] = mapped_column(String(200))  # NFKC, case folded: folding may lengthen it
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(String(1000))
    fullname: Mapped[str | None] = mapped_column(String(200))
    password_hash: Mapped[str] = mapped_column(Text)  # Argon2id, in the PHC string format
    is_active: Mapped[bool]
    is_admin: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ApiKey(Base):
    """A key that a program shows. Only its digest is kept; it is found by its prefix."""

    __tablename__ = "api_key"
    __table_args__ = (UniqueConstraint("prefix"),)

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("user.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    prefix: Mapped[str] = mapped_column(String(20))
    digest: Mapped[str] = mapped_column(String(64))  # SHA-256 of the whole key, hexadecimal
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class RefreshToken(Base):
    """One refresh token of a login. Those that follow each other by rotation are a family, whose id is in the access
    tokens too: when the family ends, so do they. A family ends by deleting its rows' validity (`ended_at`).
    """

    __tablename__ = "refresh_token"
    __table_args__ = (UniqueConstraint("digest"), Index(None, "family_id"), Index(None, "expires_at"))

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("user.id", ondelete="CASCADE"), index=True)
    family_id: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    digest: Mapped[str] = mapped_column(String(64))  # SHA-256 of the token, hexadecimal
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # rotated: shown once more, its family ends
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
