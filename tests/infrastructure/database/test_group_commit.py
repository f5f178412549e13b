"""Group commit on both databases: one transaction for many, and nobody pays for another's fault."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio
from sqlalchemy import Column, MetaData, String, Table, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateTable

from infrastructure.database import group_commit
from infrastructure.database.engine import Database, open_engine
from infrastructure.database.group_commit import MAX_BATCH, GroupCommit
from infrastructure.database.rows import Rows, inserting
from infrastructure.database.sqlite_writer import Then
from infrastructure.errors import Conflict, StorageUnavailable

T = TypeVar("T")
NOTE = Table("note", MetaData(), Column("body", String(100), primary_key=True))
ADD_NOTE = inserting(NOTE, "body")


class HeldDatabase(Database):
    """A database whose next transaction can be kept from beginning."""

    def __init__(self, url: str) -> None:
        super().__init__(open_engine(url))
        self.transactions = 0
        self.entered = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    def transact_soon(self, work: Callable[[Rows], Coroutine[Any, Any, T]], then: Then[T]) -> None:
        self.transactions += 1
        self.entered.set()
        if self.may_go_on.is_set():
            super().transact_soon(work, then)
        else:
            self.held = self._transact_in_task(work, then)

    async def transact(self, work: Callable[[Rows], Coroutine[Any, Any, T]]) -> T:
        await self.may_go_on.wait()
        return await super().transact(work)


class Notes:
    """Work is text whose first letter is its key; what follows is kept. `batches` is what came together."""

    def __init__(self, database: HeldDatabase) -> None:
        self.database = database
        self.batches: list[list[str]] = []
        self.group = GroupCommit(database, self.apply, lambda work: work[0])

    async def apply(self, rows: Rows, works: Sequence[str]) -> list[str | Exception]:
        self.batches.append(list(works))
        if kept := [{"body": work[1:]} for work in works if not work.endswith("?")]:
            await rows.change(ADD_NOTE, kept)
        return [Conflict(work) if work.endswith("?") else work.upper() for work in works]

    async def held(self, work: str = ".first") -> "asyncio.Task[str]":
        """A first piece of work whose transaction is kept back until `go_on`."""
        self.database.may_go_on.clear()
        first = asyncio.create_task(self.group.submit(work))
        await self.database.entered.wait()
        return first

    def go_on(self) -> None:
        self.database.may_go_on.set()

    async def submit(self, *works: str) -> "list[asyncio.Task[str]]":
        """Submitted in this order, and waiting."""
        tasks = [asyncio.create_task(self.group.submit(work)) for work in works]
        await asyncio.sleep(0)
        return tasks

    async def kept(self) -> list[str]:
        async with self.database.read() as session:
            return list((await session.execute(select(NOTE.c.body).order_by(NOTE.c.body))).scalars())


@pytest_asyncio.fixture
async def notes(database_url: str) -> AsyncIterator[Notes]:
    database = HeldDatabase(database_url)
    async with database.write() as session:
        await session.execute(CreateTable(NOTE))
    notes = Notes(database)
    yield notes
    notes.go_on()
    await notes.group.aclose()
    await database.close()


async def test_what_comes_during_a_transaction_shares_the_next_one(notes: Notes) -> None:
    first = await notes.held()
    letters = "abcdefghij"
    rest = await notes.submit(*(letter * 2 for letter in letters))
    notes.go_on()
    assert await first == ".FIRST"
    assert await asyncio.gather(*rest) == [letter.upper() * 2 for letter in letters]
    assert notes.batches == [[".first"], [letter * 2 for letter in letters]]
    assert notes.database.transactions == 2
    assert await notes.kept() == sorted([*letters, "first"])


async def test_a_caller_goes_on_only_when_others_can_see_its_work(notes: Notes, database_url: str) -> None:
    elsewhere = Notes(HeldDatabase(database_url))
    for number in range(20):
        await notes.group.submit(f"a{number:02}")
        assert await elsewhere.kept() == [f"{n:02}" for n in range(number + 1)]
    await elsewhere.database.close()


async def test_a_transaction_takes_no_more_than_its_bound(notes: Notes) -> None:
    await notes.held()
    rest = await notes.submit(*(f"{chr(1000 + number)}{number}" for number in range(MAX_BATCH + 5)))
    notes.go_on()
    await asyncio.gather(*rest)
    assert [len(batch) for batch in notes.batches] == [1, MAX_BATCH, 5]


async def test_work_of_one_key_is_never_in_one_batch_and_keeps_its_order(notes: Notes) -> None:
    first = await notes.held()
    rest = await notes.submit("x1", "x2", "x3", "y4", "y5", "z6")
    notes.go_on()
    await asyncio.gather(first, *rest)
    assert notes.batches == [[".first"], ["x1", "y4", "z6"], ["x2", "y5"], ["x3"]]


async def test_whatever_comes_keys_keep_their_order(notes: Notes) -> None:
    chance = random.Random(4)
    works = [f"{chance.choice('abcdefg')}{number:03}" for number in range(300)]
    await notes.held()
    rest = await notes.submit(*works)
    notes.go_on()
    await asyncio.gather(*rest)
    for batch in notes.batches:
        assert len({work[0] for work in batch}) == len(batch)
    done = [work for batch in notes.batches[1:] for work in batch]
    assert sorted(done) == sorted(works)
    for key in "abcdefg":
        assert [work for work in done if work[0] == key] == [work for work in works if work[0] == key]


async def test_an_error_that_is_said_of_one_work_is_for_its_caller_alone(notes: Notes) -> None:
    first = await notes.held()
    good, bad, other = await notes.submit("a1", "b?", "c3")
    notes.go_on()
    await asyncio.gather(first, good, other)
    with pytest.raises(Conflict, match=r"^b\?$"):
        await bad
    assert await notes.kept() == ["1", "3", "first"]
    assert len(notes.batches) == 2


async def test_work_that_breaks_a_constraint_takes_no_other_with_it(notes: Notes) -> None:
    first = await notes.held()
    tasks = await notes.submit("a1", "b2", "c1", "d4")
    notes.go_on()
    await first
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [results[0], results[1], results[3]] == ["A1", "B2", "D4"]
    assert isinstance(results[2], IntegrityError)
    assert await notes.kept() == ["1", "2", "4", "first"]


async def test_a_fault_of_one_transaction_is_none_of_the_next(notes: Notes) -> None:
    assert await notes.group.submit("a1") == "A1"
    with pytest.raises(IntegrityError):
        await notes.group.submit("b1")
    assert await notes.group.submit("c2") == "C2"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_when_the_database_cannot_be_had_all_are_told_so(kind: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/gone/x.db" if kind == "sqlite" else "postgresql://nobody@127.0.0.1:9/none"
    notes = Notes(HeldDatabase(url))
    if kind == "sqlite":
        (tmp_path / "gone").rmdir()
    for _ in range(2):  # it is tried anew for whoever comes later
        results = await asyncio.gather(*await notes.submit("a1", "b2", "c3"), return_exceptions=True)
        assert [type(result) for result in results] == [StorageUnavailable] * 3
        assert {result.retry_after for result in results if isinstance(result, StorageUnavailable)} == {1.0}
    await notes.database.close()


async def test_too_much_that_waits_is_turned_away(notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MAX_WAITING", 2)
    first = await notes.held()
    waiting = await notes.submit("a1", "b2")
    with pytest.raises(StorageUnavailable, match="does not keep up"):
        await notes.group.submit("c3")
    notes.go_on()
    await asyncio.gather(first, *waiting)
    assert await notes.group.submit("d4") == "D4"
    assert await notes.kept() == ["1", "2", "4", "first"]


@pytest.mark.parametrize("under_way", [True, False])
async def test_the_work_of_a_caller_who_left_is_done_all_the_same(notes: Notes, under_way: bool) -> None:
    first = await notes.held()
    waiting, other = await notes.submit("a1", "b2")
    leaver = first if under_way else waiting
    leaver.cancel()
    notes.go_on()
    await asyncio.gather(first, waiting, return_exceptions=True)
    assert leaver.cancelled()
    assert await other == "B2"
    assert await notes.kept() == ["1", "2", "first"]


async def test_closing_waits_for_all_that_was_submitted(notes: Notes) -> None:
    await notes.held()
    rest = await notes.submit("a1", "a2", "a3")
    closing = asyncio.create_task(notes.group.aclose())
    notes.go_on()
    await closing
    assert all(task.done() for task in rest)
    assert await notes.kept() == ["1", "2", "3", "first"]


async def test_closing_without_work_is_done_at_once(notes: Notes) -> None:
    await asyncio.wait_for(notes.group.aclose(), 30)


async def test_when_the_loop_ends_those_who_wait_are_told(notes: Notes) -> None:
    first = await notes.held()
    (waiting,) = await notes.submit("a1")
    notes.database.held.cancel()
    for task in (first, waiting):
        with pytest.raises(StorageUnavailable):
            await task
    notes.go_on()
    assert await notes.kept() == []
    assert await notes.group.submit("b2") == "B2"


async def test_after_the_end_of_the_database_whoever_comes_is_told(tmp_path: Path) -> None:
    notes = Notes(HeldDatabase(f"sqlite:///{tmp_path}/x.db"))
    await notes.database.close()
    results = await asyncio.gather(*await notes.submit("a1", "b2", "c3"), return_exceptions=True)
    assert [type(result) for result in results] == [RuntimeError] * 3
    await asyncio.wait_for(notes.group.aclose(), 30)


async def test_on_sqlite_a_group_waits_for_another_kind_of_writer(tmp_path: Path) -> None:
    """There is one place for writers in this process, and nobody waits in the database itself."""
    notes = Notes(HeldDatabase(f"sqlite:///{tmp_path}/x.db"))
    async with notes.database.write() as session:
        await session.execute(CreateTable(NOTE))
        waiting = await notes.submit("a1", "b2")
        await session.execute(ADD_NOTE, {"body": "0"})
        assert not any(task.done() for task in waiting)
    assert await asyncio.gather(*waiting) == ["A1", "B2"]
    assert await notes.kept() == ["0", "1", "2"]
    await notes.database.close()
