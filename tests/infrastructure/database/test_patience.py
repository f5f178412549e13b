"""What is read again, and what is not."""

import pytest
from sqlalchemy.exc import OperationalError

from infrastructure.database.patience import patiently


class Reader:
    """Raises each of `faults` in turn, then reads."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.reads = 0

    async def __call__(self) -> str:
        self.reads += 1
        if self.faults:
            raise self.faults.pop(0)
        return "read"


def away() -> Exception:
    return OperationalError("", None, Exception("away"))


async def test_a_database_that_is_back_in_a_moment_is_read() -> None:
    reader = Reader(away(), ConnectionRefusedError())
    assert await patiently(reader, (0.0, 0.0)) == "read"
    assert reader.reads == 3


async def test_one_that_stays_away_is_told() -> None:
    reader = Reader(*[away() for _ in range(5)])
    with pytest.raises(OperationalError):
        await patiently(reader, (0.0, 0.0))
    assert reader.reads == 3


async def test_what_is_no_fault_of_the_database_is_told_at_once() -> None:
    reader = Reader(ValueError("of our own"))
    with pytest.raises(ValueError, match="of our own"):
        await patiently(reader, (0.0, 0.0))
    assert reader.reads == 1
