"""The processes that answer questions, each with the time until which it is believed to be alive."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from infrastructure.database.models.base import Base, UtcDateTime


class Worker(Base):
    """A process. It moves `expires_at` on again and again; once that is over, or it has left, its runs are others'."""

    __tablename__ = "worker"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    apart: Mapped[bool]  # it shows frames that the others cannot have: nobody knows how far its runs have come
