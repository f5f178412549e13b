"""Runs that wait for a person are kept once, claimed once, and taken up by one process."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy import delete

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.models import Chat
from infrastructure.database.repositories.turns import NewTurn
from infrastructure.errors import StorageUnavailable
from services.checkpoints import Checkpoints
from services.conversations import Conversations
from services.leases import Leases

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(database: Database) -> Checkpoints:
    return Checkpoints(database, "new", clock=lambda: NOW)


@pytest.fixture
async def run_id(database: Database) -> str:
    conversations = Conversations(database, clock=lambda: NOW)
    chat, run, *ids = (str(uuid4()) for _ in range(4))
    await conversations.begin(NewTurn(chat, None, "Q?", run, ids[0], ids[1], "w", NOW))
    await conversations.aclose()
    return run


async def waiting(database: Database) -> bool:
    """Whether there seem to be runs for `store` to take."""
    return (await Leases(database, "new", seconds=600, clock=lambda: NOW).left())[0]


async def test_what_is_kept_is_claimed_by_one(store: Checkpoints, run_id: str) -> None:
    await store.keep(run_id, b"state", 60)
    claims = await asyncio.gather(*(store.claim(run_id) for _ in range(3)))
    assert sorted(claims) == [False, False, True]


async def test_a_released_run_is_taken_up_with_its_time(store: Checkpoints, run_id: str, database: Database) -> None:
    await Leases(database, "w", seconds=600, clock=lambda: NOW).beat()
    await store.keep(run_id, b"state", 60)
    if not database.is_sqlite:
        assert not await waiting(database)
        assert await store.take() == [], "its process is alive"
    await store.release(run_id)
    assert await waiting(database)
    [(run, seconds)] = await store.take()
    assert (run.run_id, run.state, run.fence, seconds) == (run_id, b"state", 2, 60)
    assert await store.take() == [], "it is this one's already"
    assert database.is_sqlite or not await waiting(database)


async def test_a_run_whose_process_died_while_it_waited_is_taken_up(store: Checkpoints, run_id: str) -> None:
    await store.keep(run_id, b"state", 60)
    assert await store.state(run_id) == b"state"
    assert [run.run_id for run, _ in await store.take()] == [run_id]


async def test_two_that_start_at_once_do_not_both_take_it(database: Database, run_id: str) -> None:
    if database.is_sqlite:
        pytest.skip("one process is all there is")
    stores = [Checkpoints(database, f"w{number}", clock=lambda: NOW) for number in range(4)]
    for number in range(4):
        await Leases(database, f"w{number}", seconds=600, clock=lambda: NOW).beat()
    await stores[0].keep(run_id, b"state", 60)
    await stores[0].release(run_id)
    taken = await asyncio.gather(*(store.take() for store in stores))
    assert sum(map(len, taken)) == 1


async def test_it_goes_with_its_chat(store: Checkpoints, run_id: str, database: Database) -> None:
    await store.keep(run_id, b"state", 60)
    async with database.write() as session:
        await session.execute(delete(Chat))
    assert not await store.claim(run_id)


async def test_a_run_that_is_not_there_cannot_be_kept(store: Checkpoints) -> None:
    with pytest.raises(StorageUnavailable):
        await store.keep(str(uuid4()), b"state", 60)


async def test_a_database_that_is_away_is_told_and_a_release_is_let_be() -> None:
    nowhere = Database(open_engine("sqlite:////nowhere/at/all.db"))
    away = Checkpoints(nowhere, "w", clock=lambda: NOW)
    with pytest.raises(StorageUnavailable):
        await away.keep("run", b"", 1)
    with pytest.raises(StorageUnavailable):
        await away.claim("run")
    with pytest.raises(StorageUnavailable):
        await away.state("run")
    await away.release("run")
    await nowhere.close()
