"""How often partitions have changed, and what the changes were about."""

from functools import partial
from uuid import UUID

import pytest

from infrastructure.database.engine import Database
from infrastructure.database.models import SHARED
from infrastructure.database.repositories import partitions
from infrastructure.database.repositories.partitions import PartitionRepository, generations

IDS = [str(UUID(int=n)) for n in range(20)]


async def change(database: Database, partition: str, *documents: str) -> int:
    async with database.write() as session:
        return await PartitionRepository(session).next(partition, documents)


async def test_each_partition_is_counted_by_itself(database: Database) -> None:
    assert [await change(database, "anna", IDS[0]) for _ in range(3)] == [1, 2, 3]
    assert await change(database, SHARED, IDS[0]) == 1
    for some in ([SHARED, "anna", "ben"], ["anna"], ["ben"], []):
        found = await database.look(partial(generations, partitions=some))
        assert found == {name: count for name, count in {SHARED: 1, "anna": 3}.items() if name in some}


async def test_what_came_since_is_told_where_others_may_ask(database: Database) -> None:
    await change(database, "anna", IDS[0])
    await change(database, "anna", IDS[2], IDS[1], IDS[2])
    await change(database, "anna", IDS[0])
    async with database.read() as session:
        repository = PartitionRepository(session)
        found = await repository.changes("anna", 1, 10), await repository.knows("anna", 0, 3)
        first = await repository.changes("anna", 0, 1)
        nothing = await repository.changes("anna", 3, 10), await repository.changes("ben", 0, 10)
    if database.is_sqlite:
        assert (found, first) == ((None, False), None), "there is nobody to ask, so nothing is written"
    else:
        assert (found, first) == (([(2, IDS[1]), (2, IDS[2]), (3, IDS[0])], True), [(1, IDS[0])])
    assert nothing == (None, None)


async def test_a_change_about_nobody_knows_what_is_a_hole(database: Database) -> None:
    await change(database, "anna", IDS[0])
    await change(database, "anna")
    await change(database, "anna", IDS[0])
    async with database.read() as session:
        repository = PartitionRepository(session)
        assert await repository.changes("anna", 1, 10) is None
        assert not await repository.knows("anna", 0, 3)


async def test_old_changes_are_forgotten(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "KEPT_CHANGES", 4)
    monkeypatch.setattr(partitions, "_CLEARED_EVERY", 10)
    for document in IDS[:10]:
        await change(database, "anna", document)
        await change(database, "ben", document)
    async with database.read() as session:
        repository = PartitionRepository(session)
        assert await repository.changes("anna", 5, 10) is None
        left = await repository.changes("anna", 6, 10)
    assert left == (None if database.is_sqlite else list(enumerate(IDS[6:10], 7)))


async def test_a_partition_that_is_forgotten_begins_anew(database: Database) -> None:
    for partition in ("anna", "ben"):
        await change(database, partition, IDS[0])
    async with database.write() as session:
        await PartitionRepository(session).forget(["anna"])
    async with database.read() as session:
        repository = PartitionRepository(session)
        assert [await repository.generation(partition) for partition in ("anna", "ben")] == [0, 1]
        assert await repository.changes("anna", 0, 10) is None
