"""API keys: shown once, found by their prefix, noted when they are used."""

import asyncio
import re
from typing import Any

import pytest
from sqlalchemy import event, update

from infrastructure.database.engine import Database
from infrastructure.database.models import ApiKey, new_id
from infrastructure.errors import Conflict, NotFound, Unauthorized
from services import api_keys
from tests.services.account_parts import Setup


@pytest.fixture
def it(database: Database) -> Setup:
    return Setup(database)


async def test_a_key_lets_its_user_in(it: Setup) -> None:
    ada = await it.ada()
    key = await it.accounts.keys.create(ada.id, "report")
    assert re.fullmatch(r"ask_[A-Za-z0-9]{40}", key.key)
    assert key.prefix == key.key[:12]
    who = await it.accounts.authenticate(key.key)
    assert (who.user_id, who.credential, who.expires_at, who.is_admin) == (ada.id, f"key:{key.id}", None, False)
    await it.accounts.close()


async def test_a_key_that_differs_in_one_character_does_not(it: Setup) -> None:
    ada = await it.ada()
    key = (await it.accounts.keys.create(ada.id, "report")).key
    last = "b" if key[-1] == "a" else "a"
    for shown in (key[:-1], key + "a", key[:-1] + last, key[:12], "ask_", "ask_é", "ASK_" + key[4:], key.swapcase()):
        with pytest.raises(Unauthorized, match=r"^This token is not valid.$"):
            await it.accounts.authenticate(shown)


async def test_keys_are_listed_for_their_user_alone(it: Setup) -> None:
    ada, bob = await it.ada(), await it.ada("bob")
    keys = [await it.accounts.keys.create(ada.id, name) for name in ("one", "two")]
    await it.accounts.keys.create(bob.id, "theirs")
    listed = await it.accounts.keys.of_user(ada.id)
    assert [(key.id, key.name, key.prefix) for key in listed] == [(key.id, key.name, key.prefix) for key in keys]
    assert {key.last_used_at for key in listed} == {None}


async def test_a_deleted_key_is_of_no_use_and_a_foreign_one_is_not_there(it: Setup) -> None:
    ada, bob = await it.ada(), await it.ada("bob")
    key = await it.accounts.keys.create(ada.id, "report")
    for user_id, key_id in ((bob.id, key.id), (ada.id, new_id())):
        with pytest.raises(NotFound, match=r"^No such API key.$"):
            await it.accounts.keys.remove(user_id, key_id)
    await it.accounts.keys.remove(ada.id, key.id)
    assert it.ended == [f"key:{key.id}"]
    with pytest.raises(Unauthorized):
        await it.accounts.authenticate(key.key)
    with pytest.raises(NotFound):
        await it.accounts.keys.remove(ada.id, key.id)


async def test_a_user_has_so_many_keys_and_no_more_even_at_once(it: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "MAX_KEYS", 3)
    ada = await it.ada()
    done = await asyncio.gather(
        *(it.accounts.keys.create(ada.id, f"key {n}") for n in range(6)), return_exceptions=True
    )
    assert [type(one) for one in done].count(Conflict) == 3
    assert len(await it.accounts.keys.of_user(ada.id)) == 3


class Updates:
    """Counts the uses that were noted."""

    def __init__(self, database: Database) -> None:
        self.count = 0
        event.listen(database.engine.sync_engine, "after_cursor_execute", self._count)

    def _count(self, _: Any, cursor: Any, statement: str, *__: Any) -> None:
        if statement.startswith("UPDATE api_key"):
            self.count += cursor.rowcount


async def test_the_use_of_a_key_is_noted_once_a_minute(it: Setup) -> None:
    ada = await it.ada()
    key = (await it.accounts.keys.create(ada.id, "report")).key
    updates = Updates(it.database)

    async def use() -> None:
        await asyncio.gather(*(it.accounts.authenticate(key) for _ in range(5)))
        await it.accounts.close()

    begun = it.clock.now
    await use()
    it.clock.move(seconds=59)
    await use()
    assert updates.count == 1
    assert [one.last_used_at for one in await it.accounts.keys.of_user(ada.id)] == [begun]
    it.clock.move(seconds=2)
    await use()
    assert updates.count == 2
    assert [one.last_used_at for one in await it.accounts.keys.of_user(ada.id)] == [it.clock.now]


async def test_another_worker_that_noted_it_before_is_not_overwritten(it: Setup) -> None:
    ada = await it.ada()
    key = await it.accounts.keys.create(ada.id, "report")
    other = Setup(it.database)
    other.clock.now = it.clock.now
    it.clock.move(seconds=30)
    await asyncio.gather(it.accounts.authenticate(key.key), other.accounts.authenticate(key.key))
    await asyncio.gather(it.accounts.close(), other.accounts.close())
    (listed,) = await it.accounts.keys.of_user(ada.id)
    assert listed.last_used_at in (it.clock.now, other.clock.now)


async def test_a_use_that_cannot_be_noted_lets_its_user_in_all_the_same(it: Setup) -> None:
    ada = await it.ada()
    key = await it.accounts.keys.create(ada.id, "report")
    broken = "UPDATE api_key SET no_such_column = 1"

    def breaks(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        return (broken, ()) if statement.startswith("UPDATE api_key") else (statement, parameters)

    event.listen(it.database.engine.sync_engine, "before_cursor_execute", breaks, retval=True)
    assert (await it.accounts.authenticate(key.key)).user_id == ada.id
    await it.accounts.close()
    (listed,) = await it.accounts.keys.of_user(ada.id)
    assert listed.last_used_at is None


async def test_a_prefix_that_fits_is_not_enough(it: Setup) -> None:
    ada = await it.ada()
    one, two = [await it.accounts.keys.create(ada.id, name) for name in ("one", "two")]
    async with it.database.write() as session:
        await session.execute(update(ApiKey).where(ApiKey.id == one.id).values(digest="0" * 64))
    with pytest.raises(Unauthorized):
        await it.accounts.authenticate(one.key)
    with pytest.raises(Unauthorized):
        await it.accounts.authenticate(one.key[:12] + two.key[12:])
    assert await it.accounts.authenticate(two.key)
    await it.accounts.close()
