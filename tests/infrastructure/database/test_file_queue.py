"""The files in line: who is next, who holds what, and until when."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from infrastructure.database.engine import Database
from infrastructure.database.models import File, new_id
from infrastructure.database.repositories.file_queue import NOBODY, ClaimedFile, FileQueueRepository
from infrastructure.database.repositories.files import FILE_WAITING
from tests.services.chat_rows import START, add_user

MINUTE = timedelta(minutes=1)


async def add_file(database: Database, owner: str | None = None, after: int = 0, **columns: Any) -> str:
    """A file that came `after` so many seconds; its id."""
    at = START + timedelta(seconds=after)
    file_id = new_id()
    values = {
        **FILE_WAITING, "id": file_id, "owner_id": owner, "original_filename": "notes.txt", "mime_type": "text/plain",
        "size_bytes": 10, "checksum": file_id, "chunks_count": 0, "created_at": at, "updated_at": at,
    }  # fmt: skip
    async with database.write() as session:
        session.add(File(**values | columns))
    return file_id


async def claim(database: Database, lease: str = "a", after: str = NOBODY, now: Any = START) -> ClaimedFile | None:
    async with database.write() as session:
        return await FileQueueRepository(session).claim(lease, now, now + MINUTE, after)


async def hold(database: Database, file_id: str, lease: str, **values: Any) -> bool:
    async with database.write() as session:
        return await FileQueueRepository(session).hold(file_id, lease, **values)


async def row(database: Database, file_id: str) -> File:
    async with database.read() as session:
        found = await session.get(File, file_id)
    assert found is not None
    return found


async def owners_in_turn(database: Database) -> list[str | None]:
    """The owners of all that waits, in the order in which one worker takes it up."""
    order: list[str | None] = []
    after = NOBODY
    while (file := await claim(database, new_id(), after)) is not None:
        order.append(file.owner_id)
        after = file.owner_id or NOBODY
    return order


async def test_a_claim_takes_the_file_and_says_all_that_is_needed_to_read_it(database: Database) -> None:
    owner = await add_user(database)
    file_id = await add_file(database, owner)
    file = await claim(database, "lease")
    assert file == ClaimedFile(file_id, owner, "notes.txt", "text/plain", 10, file_id, 1, START, "lease")
    found = await row(database, file_id)
    assert (found.status, found.stage, found.worker, found.attempts) == ("processing", "reading", "lease", 1)
    assert (found.leased_until, found.started_at) == (START + MINUTE, START)
    assert await claim(database) is None


async def test_one_users_many_files_do_not_hold_up_anothers_few(database: Database) -> None:
    ada, bob = await add_user(database), await add_user(database, "bob")
    for n in range(6):
        await add_file(database, ada, n)
    for n in range(2):
        await add_file(database, bob, 10 + n)
    for n in range(3):
        await add_file(database, None, 20 + n)
    assert await owners_in_turn(database) == [ada, bob, None, ada, bob, None, ada, None, ada, ada, ada]


async def test_of_an_owner_the_oldest_file_comes_first(database: Database) -> None:
    second, first = await add_file(database, after=2), await add_file(database, after=1)
    claimed = [await claim(database, "a"), await claim(database, "b")]
    assert [file.id for file in claimed if file] == [first, second]


async def test_what_failed_waits_for_its_time(database: Database) -> None:
    file_id = await add_file(database, retry_at=START + MINUTE)
    assert await claim(database, now=START + MINUTE - timedelta(seconds=1)) is None
    file = await claim(database, now=START + MINUTE)
    assert file is not None
    assert (await row(database, file_id)).retry_at is None


@pytest.mark.parametrize("status", ["ready", "failed"])
async def test_what_is_done_is_nobodys_turn(database: Database, status: str) -> None:
    await add_file(database, status=status)
    assert await claim(database) is None


async def test_a_lease_that_ended_is_taken_over_and_the_first_start_is_kept(database: Database) -> None:
    file_id = await add_file(database)
    await claim(database, "dead")
    assert await claim(database, "early", now=START + MINUTE - timedelta(seconds=1)) is None
    file = await claim(database, "heir", now=START + MINUTE)
    assert file is not None
    assert (file.attempts, file.lease) == (2, "heir")
    assert (await row(database, file_id)).started_at == START


async def test_only_the_lease_that_holds_a_file_changes_it(database: Database) -> None:
    file_id = await add_file(database)
    await claim(database, "dead")
    await claim(database, "heir", now=START + MINUTE)
    assert not await hold(database, file_id, "dead", chunks_processed=7)
    assert await hold(database, file_id, "heir", chunks_processed=3)
    assert (await row(database, file_id)).chunks_processed == 3
    assert await hold(database, file_id, "heir", status="ready")
    assert not await hold(database, file_id, "heir", chunks_processed=9)  # it is done
    assert not await hold(database, new_id(), "heir", chunks_processed=9)


async def test_void_leases_are_due_at_once(database: Database) -> None:
    reading, waiting = await add_file(database), await add_file(database, after=1)
    await claim(database, "dead")
    async with database.write() as session:
        assert await FileQueueRepository(session).void_leases() == 1
    assert (await row(database, waiting)).attempts == 0
    file = await claim(database, "new")
    assert file is not None
    assert (file.id, file.attempts) == (reading, 2)


async def test_a_living_lease_is_told_from_one_that_is_over(database: Database) -> None:
    await add_file(database)
    await claim(database, "living")
    async with database.read() as session:
        queue = FileQueueRepository(session)
        assert await queue.living(["living", "dead"]) == {"living"}
        assert await queue.living([]) == set()


async def test_the_next_time_to_look_is_the_earliest_retry_or_end_of_a_lease(database: Database) -> None:
    async def next_due() -> Any:
        async with database.read() as session:
            return await FileQueueRepository(session).next_due(START)

    assert await next_due() is None
    await add_file(database, retry_at=START + 3 * MINUTE)
    assert await next_due() == START + 3 * MINUTE
    await add_file(database, status="processing", leased_until=START + 2 * MINUTE)
    assert await next_due() == START + 2 * MINUTE
    await add_file(database)
    assert await next_due() == START


async def test_two_workers_at_once_never_get_the_same_file(database: Database) -> None:
    files = {await add_file(database, after=n) for n in range(12)}

    async def work(name: str) -> list[str]:
        found: list[str] = []
        while (file := await claim(database, f"{name}{len(found)}")) is not None:
            found.append(file.id)
        return found

    taken = [file_id for found in await asyncio.gather(*map(work, "abcd")) for file_id in found]
    assert sorted(taken) == sorted(files)


async def test_a_file_that_another_worker_is_just_claiming_is_passed_over(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("it has one writer at a time")
    first, second = await add_file(database, after=1), await add_file(database, after=2)
    async with database.write() as session:
        mine = await FileQueueRepository(session).claim("a", START, START + MINUTE)
        async with asyncio.timeout(30):
            other = await claim(database, "b")
    assert mine is not None
    assert other is not None
    assert (mine.id, other.id) == (first, second)
