"""What all tables share: names of constraints, times, ids."""

from datetime import UTC, datetime

from sqlalchemy import BigInteger as _BigInteger
from sqlalchemy import DateTime, Dialect, Integer, MetaData, TypeDecorator
from sqlalchemy.orm import DeclarativeBase
from uuid_utils import uuid7

# SQLite numbers rows by itself only where the primary key is spelt INTEGER, which there has 64 bits.
BigInteger = _BigInteger().with_variant(Integer, "sqlite")

NAMING_CONVENTION = {
    "pk": "PK__%(table_name)s",
    "fk": "FK__%(table_name)s__%(referred_table_name)s",
    "uq": "UQ__%(table_name)s__%(column_0_N_name)s",
    "ix": "IX__%(table_name)s__%(column_0_N_name)s",
    "ck": "CK__%(table_name)s__%(constraint_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, aware and in UTC on both sides; SQLite, which keeps no zone, keeps it naive."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


def new_id() -> str:
    """A new id: UUID version 7, so that ids are in the order of their making and rows land side by side."""
    return str(uuid7())
