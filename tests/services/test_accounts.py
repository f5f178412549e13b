"""Accounts over real databases: who somebody is, how logins follow each other, and how they end."""

import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import event, func, select, update

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.models import ApiKey, Chat, RefreshToken, User, new_id
from infrastructure.errors import Conflict, RateLimited, Unauthorized
from services.passwords import Passwords
from services.principals import ANONYMOUS, Principal
from services.tokens import TokenSigner
from services.users import NewUser, add_user
from tests.services.account_parts import ADDRESS, PASSWORD, SECRET, CountingHash, Setup, cheap_hash


@pytest.fixture
def it(database: Database) -> Setup:
    return Setup(database)


async def count(database: Database, model: type) -> int:
    async with database.read() as session:
        return (await session.execute(select(func.count()).select_from(model))).scalar_one()


async def test_a_user_registers_and_logs_in(it: Setup) -> None:
    ada = await it.accounts.register(NewUser("Ada", "Ada@Example.com", PASSWORD, "Ada Lovelace"))
    assert (ada.username, ada.email, ada.fullname) == ("Ada", "Ada@Example.com", "Ada Lovelace")
    assert (ada.is_active, ada.is_admin, ada.created_at) == (True, False, it.clock.now)
    assert await it.accounts.account(ada.id) == ada
    grant = await it.accounts.login("aDA", PASSWORD, ADDRESS)
    who = await it.accounts.authenticate(grant.access_token)
    assert (who.user_id, who.is_admin, who.anonymous) == (ada.id, False, False)
    assert who.credential is not None
    assert who.credential.startswith("login:")
    assert who.expires_at == int((it.clock.now + timedelta(minutes=30)).timestamp())


async def test_neither_passwords_nor_tokens_nor_keys_are_kept_as_they_are(it: Setup) -> None:
    ada = await it.ada()
    grant = await it.accounts.login("ada", PASSWORD, ADDRESS)
    key = await it.accounts.keys.create(ada.id, "report")
    async with it.database.read() as session:
        user = (await session.execute(select(User))).scalar_one()
        token = (await session.execute(select(RefreshToken))).scalar_one()
        kept = (await session.execute(select(ApiKey))).scalar_one()
    rows = repr([vars(row) for row in (user, token, kept)])
    assert PASSWORD not in rows
    assert grant.refresh_token not in rows
    assert key.key not in rows
    assert key.key[12:] not in rows
    assert user.password_hash.startswith("$argon2id$")


@pytest.mark.parametrize(
    ("username", "email"),
    [("ada", "other@example.com"), ("\uff21\uff24\uff21", "other@example.com"), ("other", "ADA@example.com")],
)
async def test_a_name_or_address_that_is_taken_in_any_case_is_a_conflict(it: Setup, username: str, email: str) -> None:
    await it.ada()
    with pytest.raises(Conflict) as refused:
        await it.accounts.register(NewUser(username, email, PASSWORD))
    assert refused.value.message == "This user name or email address is taken."
    assert refused.value.__suppress_context__
    assert await count(it.database, User) == 1


async def test_of_many_who_register_the_same_name_at_once_one_gets_it(it: Setup) -> None:
    asked = [it.accounts.register(NewUser("ada", f"ada{n}@example.com", PASSWORD)) for n in range(8)]
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(type(one).__name__ for one in done) == ["Account"] + ["Conflict"] * 7


async def test_an_unknown_user_a_wrong_password_and_an_inactive_user_are_refused_alike(database: Database) -> None:
    hasher = CountingHash()
    it = Setup(database, hasher)
    await it.ada()
    await it.ada("bob")
    await deactivate(database, "bob")
    refusals = []
    for username, password in (("ada", "wrong password"), ("nobody", PASSWORD), ("bob", PASSWORD), ("a b", "x")):
        before = hasher.verified
        with pytest.raises(Unauthorized) as refused:
            await it.accounts.login(username, password, ADDRESS)
        refusals.append(
            (refused.value.message, refused.value.kind, refused.value.retry_after, hasher.verified - before)
        )
    assert set(refusals) == {("Wrong user name or password.", "unauthorized", None, 1)}


@pytest.mark.parametrize("database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True)
async def test_an_unknown_user_takes_as_long_as_a_wrong_password(database: Database) -> None:
    """With the hash as it is in use. What is compared are medians of the processor's time, which no other process
    changes; to leave out the hash would be ten times faster.
    """
    it = Setup(database, PasswordHash((Argon2Hasher(),)), per_address=1000, per_name=1000)
    await it.ada()

    async def seconds(username: str) -> float:
        begun = time.process_time()
        with pytest.raises(Unauthorized):
            await it.accounts.login(username, "wrong password", ADDRESS)
        return time.process_time() - begun

    await seconds("nobody")
    pairs = [(await seconds("ada"), await seconds("nobody")) for _ in range(5)]
    known, unknown = (statistics.median(side) for side in zip(*pairs, strict=True))
    assert 0.5 < unknown / known < 2


async def test_a_hash_of_older_parameters_is_replaced_at_the_next_login(database: Database) -> None:
    await Setup(database, cheap_hash(1)).ada()
    newer = Setup(database, cheap_hash(2))
    await newer.accounts.login("ada", PASSWORD, ADDRESS)
    async with database.read() as session:
        assert "t=2" in (await session.execute(select(User.password_hash))).scalar_one()
    await newer.accounts.login("ada", PASSWORD, ADDRESS)


async def test_after_too_many_failures_nobody_looks_at_the_password(database: Database) -> None:
    hasher = CountingHash()
    it = Setup(database, hasher, per_address=3)
    await it.ada()
    for _ in range(3):
        with pytest.raises(Unauthorized):
            await it.accounts.login("ada", "wrong password", ADDRESS)
    verified = hasher.verified
    with pytest.raises(RateLimited):
        await it.accounts.login("ada", PASSWORD, ADDRESS)
    assert hasher.verified == verified
    assert await it.accounts.login("ada", PASSWORD, "192.0.2.2")


async def test_failures_that_come_all_at_once_do_not_get_more_tries(database: Database) -> None:
    hasher = CountingHash()
    it = Setup(database, hasher, per_address=5)
    await it.ada()
    tries = [it.accounts.login("ada", f"wrong {n}", ADDRESS) for n in range(40)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert {type(one) for one in done} == {Unauthorized, RateLimited}
    assert hasher.verified <= 5 + 1  # two are looked at at once


async def test_logins_that_succeed_do_not_count(database: Database) -> None:
    it = Setup(database, per_address=3, per_name=3)
    await it.ada()
    done = await asyncio.gather(*(it.accounts.login("ada", PASSWORD, ADDRESS) for _ in range(12)))
    assert len({grant.refresh_token for grant in done}) == 12


async def test_a_changed_password_ends_all_logins_but_the_one_that_asked(it: Setup) -> None:
    ada = await it.ada()
    mine, other = [await it.accounts.login("ada", PASSWORD, ADDRESS) for _ in range(2)]
    key = await it.accounts.keys.create(ada.id, "report")
    theirs = (await it.accounts.authenticate(other.access_token)).credential
    who = await it.accounts.authenticate(mine.access_token)
    await it.accounts.change_password(who, PASSWORD, "another password", ADDRESS)
    await it.dead(other.access_token)
    assert it.ended == [theirs]
    assert await it.accounts.authenticate(mine.access_token)
    assert await it.accounts.refresh(mine.refresh_token)
    assert await it.accounts.authenticate(key.key)
    with pytest.raises(Unauthorized):
        await it.accounts.login("ada", PASSWORD, ADDRESS)
    assert await it.accounts.login("ada", "another password", ADDRESS)


async def test_a_password_changed_by_an_api_key_ends_every_login(it: Setup) -> None:
    ada = await it.ada()
    grant = await it.accounts.login("ada", PASSWORD, ADDRESS)
    key = await it.accounts.keys.create(ada.id, "report")
    await it.accounts.change_password(await it.accounts.authenticate(key.key), PASSWORD, "another password", ADDRESS)
    await it.dead(grant.access_token)


async def test_a_password_is_not_changed_without_the_old_one_and_tries_are_counted(database: Database) -> None:
    it = Setup(database, per_name=2)
    await it.ada()
    who = await it.accounts.authenticate((await it.accounts.login("ada", PASSWORD, ADDRESS)).access_token)
    with pytest.raises(Unauthorized):
        await it.accounts.change_password(ANONYMOUS, PASSWORD, "another password", ADDRESS)
    for n in range(2):
        with pytest.raises(Unauthorized):
            await it.accounts.change_password(who, "wrong password", "another password", f"192.0.2.{n}")
    with pytest.raises(RateLimited):
        await it.accounts.change_password(who, PASSWORD, "another password", "192.0.2.9")
    assert await it.accounts.login("ada", PASSWORD, ADDRESS)


async def test_of_two_who_change_a_password_at_once_one_does(it: Setup) -> None:
    await it.ada()
    who = await it.accounts.authenticate((await it.accounts.login("ada", PASSWORD, ADDRESS)).access_token)
    done = await asyncio.gather(
        *(it.accounts.change_password(who, PASSWORD, f"another password {n}", ADDRESS) for n in range(2)),
        return_exceptions=True,
    )
    assert {type(one) for one in done} == {type(None), Unauthorized}


async def test_a_deleted_account_takes_all_with_it_and_no_other(it: Setup) -> None:
    ada, bob = await it.ada(), await it.ada("bob")
    grant = await it.accounts.login("ada", PASSWORD, ADDRESS)
    key = await it.accounts.keys.create(ada.id, "report")
    theirs = await it.accounts.login("bob", PASSWORD, ADDRESS)
    credentials = {
        (await it.accounts.authenticate(shown)).credential for shown in (grant.access_token, key.key)
    }  # fmt: skip
    await it.accounts.close()
    async with it.database.write() as session:
        for owner in (ada, bob):
            session.add(
                Chat(
                    id=new_id(), user_id=owner.id, details={}, is_archived=False, message_count=0, last_position=0,
                    created_at=it.clock.now, updated_at=it.clock.now,
                )
            )  # fmt: skip
    await it.accounts.delete(ada.id)
    assert set(it.ended) == credentials
    await it.dead(grant.access_token, key.key)
    with pytest.raises(Unauthorized):
        await it.accounts.refresh(grant.refresh_token)
    with pytest.raises(Unauthorized):
        await it.accounts.login("ada", PASSWORD, ADDRESS)
    for gone in (it.accounts.delete(ada.id), it.accounts.account(ada.id), it.accounts.keys.create(ada.id, "x")):
        with pytest.raises(Unauthorized):
            await gone
    assert await it.accounts.authenticate(theirs.access_token)
    assert [await count(it.database, model) for model in (User, RefreshToken, ApiKey, Chat)] == [1, 1, 0, 1]
    assert await it.ada()


async def deactivate(database: Database, username: str) -> None:
    async with database.write() as session:
        await session.execute(update(User).where(User.username == username).values(is_active=False))


async def test_an_inactive_user_is_let_in_by_nothing(it: Setup) -> None:
    ada = await it.ada()
    grant = await it.accounts.login("ada", PASSWORD, ADDRESS)
    key = await it.accounts.keys.create(ada.id, "report")
    await deactivate(it.database, "ada")
    await it.dead(grant.access_token, key.key)
    with pytest.raises(Unauthorized):
        await it.accounts.refresh(grant.refresh_token)


async def test_a_sound_token_of_a_user_or_login_that_never_was_is_refused(it: Setup) -> None:
    ada, bob = await it.ada(), await it.ada("bob")
    grant = await it.accounts.login("ada", PASSWORD, ADDRESS)
    family = ((await it.accounts.authenticate(grant.access_token)).credential or "").partition(":")[2]
    await it.dead(it.tokens.sign(new_id(), family), it.tokens.sign(ada.id, new_id()), it.tokens.sign(bob.id, family)
    )  # fmt: skip
    stale = TokenSigner(SECRET, "HS256", 30, clock=lambda: datetime.now(UTC) - timedelta(hours=1))
    await it.dead(stale.sign(ada.id, family), grant.access_token[:-2])


async def test_an_admin_is_known_as_one_from_the_next_request_on(it: Setup) -> None:
    ada = await it.ada()
    grant = await it.accounts.login("ada", PASSWORD, ADDRESS)
    key = await it.accounts.keys.create(ada.id, "report")
    async with it.database.write() as session:
        await session.execute(update(User).values(is_admin=True))
    assert (await it.accounts.authenticate(grant.access_token)).is_admin
    assert (await it.accounts.authenticate(key.key)).is_admin
    root = await add_user(
        it.database, Passwords(cheap_hash()), NewUser("root", "root@example.com", PASSWORD), it.clock(), is_admin=True
    )
    assert (await it.accounts.account(root.id)).is_admin


async def test_which_credentials_still_hold_is_told_for_many_at_once(it: Setup) -> None:
    ada = await it.ada()
    who: list[Principal] = []
    for _ in range(2):
        grant = await it.accounts.login("ada", PASSWORD, ADDRESS)
        who.append(await it.accounts.authenticate(grant.access_token))
    for name in ("one", "two"):
        key = await it.accounts.keys.create(ada.id, name)
        who.append(await it.accounts.authenticate(key.key))
    names = [one.credential for one in who if one.credential]
    assert await it.accounts.still_valid(names) == set(names)
    await it.accounts.logout(who[0])
    await it.accounts.keys.remove(ada.id, names[2].partition(":")[2])
    assert it.ended == [names[0], names[2]]
    never = [f"login:{new_id()}", f"key:{new_id()}", "other:thing"]
    assert await it.accounts.still_valid([*names, *never]) == {names[1], names[3]}
    assert await it.accounts.still_valid([]) == set()
    await deactivate(it.database, "ada")
    assert await it.accounts.still_valid(names) == set()


async def test_one_statement_tells_who_shows_a_token_or_a_key(it: Setup) -> None:
    ada = await it.ada()
    grant = await it.accounts.login("ada", PASSWORD, ADDRESS)
    key = await it.accounts.keys.create(ada.id, "report")
    await it.accounts.authenticate(key.key)
    await it.accounts.close()
    statements: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if not statement.startswith("BEGIN"):
            statements.append(statement)

    event.listen(it.database.engine.sync_engine, "before_cursor_execute", note)
    for shown in (grant.access_token, key.key):
        await it.accounts.authenticate(shown)
        assert len(statements) == 1, statements
        statements.clear()
    never = await it.accounts.still_valid([f"{kind}:{new_id()}" for kind in ("login", "key") for _ in range(50)])
    assert (never, len(statements)) == (set(), 2)


async def test_one_connection_is_enough_for_many_at_once(database_url: str) -> None:
    database = Database(open_engine(database_url, pool_size=1, pool_timeout=10))
    it = Setup(database)
    ada = await it.ada()
    key = await it.accounts.keys.create(ada.id, "report")

    async def visit() -> None:
        grant = await it.accounts.login("ada", PASSWORD, ADDRESS)
        grant = await it.accounts.refresh(grant.refresh_token)
        who = await it.accounts.authenticate(grant.access_token)
        await it.accounts.authenticate(key.key)
        assert await it.accounts.still_valid([who.credential or ""])
        await it.accounts.logout(who)

    await asyncio.gather(*(visit() for _ in range(10)))
    await it.accounts.close()
    await database.close()
