"""A database that is away, told as the service tells it."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from infrastructure.database.engine import is_unavailable
from infrastructure.errors import StorageUnavailable


@contextmanager
def as_storage_errors() -> Iterator[None]:
    """For what a run waits for: whoever reads it is told that the database is away, and not of a fault in here.

    Raises:
        StorageUnavailable: the database cannot be had.
    """
    try:
        yield
    except SQLAlchemyError as fault:
        if not is_unavailable(fault):
            raise
        raise StorageUnavailable("The database does not answer. Try again in a moment.", retry_after=1.0) from fault
