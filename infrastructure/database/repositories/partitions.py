"""Queries of how often partitions have changed, and in which documents. Nothing here commits.

A change locks its partition's count until it is committed. So changes of one partition are committed in the order of
their numbers, and whoever sees a number can see all changes up to it.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, distinct, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.models import PartitionState
from infrastructure.database.models.knowledge import PartitionChange
from infrastructure.database.rows import Rows, one_of

KEPT_CHANGES = 1000
"""Of a partition, at least. Who was away for longer reads it anew."""
_CLEARED_EVERY = 64  # changes
_state: Any = PartitionState.__table__
_OF_ONE = select(_state.c.partition, _state.c.generation).where(_state.c.partition == bindparam("id"))
_OF_SOME = select(_state.c.partition, _state.c.generation).where(one_of(_state.c.partition))


async def generations(rows: Rows, partitions: Sequence[str]) -> dict[str, int]:
    """How often each has changed, but for those that never have: the lean way, for what is asked with every search."""
    found = await rows.find(_OF_ONE, [{"id": name} for name in partitions], _OF_SOME)
    return {row[0]: row[1] for row in found}


class PartitionRepository:
    """The counts as one session sees them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._sqlite = session.get_bind().dialect.name == "sqlite"

    async def generation(self, partition: str) -> int:
        """How often the partition has changed."""
        query = select(PartitionState.generation).where(PartitionState.partition == partition)
        return (await self._session.execute(query)).scalar_one_or_none() or 0

    async def next(self, partition: str, documents: Collection[str]) -> int:
        """Count one more change. Which documents it was about is written down where other processes may ask (not on
        SQLite, which has one); for a change without documents they read all of the partition."""
        insert_into: Any = sqlite.insert if self._sqlite else postgresql.insert
        query = (
            insert_into(PartitionState)
            .values(partition=partition, generation=1)
            .on_conflict_do_update(index_elements=["partition"], set_={"generation": PartitionState.generation + 1})
            .returning(PartitionState.generation)
        )
        generation = int((await self._session.execute(query)).scalar_one())
        if documents and not self._sqlite:
            await self._note(partition, generation, documents)
        return generation

    async def changes(self, partition: str, since: int, most: int) -> list[tuple[int, str]] | None:
        """`(generation, document)` of up to `most` changes that came after `since`, in their order; None when that
        cannot be told of all of them."""
        columns = PartitionChange.generation, PartitionChange.document_id
        query = select(*columns).where(
            PartitionChange.partition == partition,
            PartitionChange.generation > since,
            PartitionChange.generation <= since + most,
        )
        found = [(row[0], row[1]) for row in await self._session.execute(query.order_by(*columns))]
        numbers = sorted({generation for generation, _ in found})
        return found if numbers and numbers == list(range(since + 1, since + 1 + len(numbers))) else None

    async def knows(self, partition: str, since: int, generation: int) -> bool:
        """Whether all changes between two generations are written down."""
        numbers = select(func.count(distinct(PartitionChange.generation))).where(
            PartitionChange.partition == partition,
            PartitionChange.generation > since,
            PartitionChange.generation <= generation,
        )
        return int((await self._session.execute(numbers)).scalar_one()) == generation - since

    async def forget(self, partitions: Collection[str]) -> None:
        """Forget partitions that nobody will have again."""
        await self._session.execute(delete(PartitionState).where(PartitionState.partition.in_(partitions)))
        if not self._sqlite:
            await self._session.execute(delete(PartitionChange).where(PartitionChange.partition.in_(partitions)))

    async def _note(self, partition: str, generation: int, documents: Collection[str]) -> None:
        values = [
            {"partition": partition, "generation": generation, "document_id": one} for one in dict.fromkeys(documents)
        ]
        await self._session.execute(insert(PartitionChange), values)
        if generation % _CLEARED_EVERY == 0:
            old = PartitionChange.generation <= generation - KEPT_CHANGES
            await self._session.execute(delete(PartitionChange).where(PartitionChange.partition == partition, old))
