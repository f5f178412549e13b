"""Runs that wait for a person, as they stood."""

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from infrastructure.database.models.base import Base, UtcDateTime


class RunCheckpoint(Base):
    """What is needed to go on with a run. It is there only while the run waits for an approval.

    `released`: the process that had it has ended, and any other may take it up.
    """

    __tablename__ = "run_checkpoint"

    run_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    state: Mapped[bytes] = mapped_column(LargeBinary)
    released: Mapped[bool]
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
