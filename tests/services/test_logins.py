"""Logins over real databases: how their tokens follow each other, and how they end."""

import asyncio

import pytest

from infrastructure.database.engine import Database
from infrastructure.database.repositories.accounts import Secret
from infrastructure.errors import Forbidden, Unauthorized
from services.logins import Logins
from services.principals import ANONYMOUS
from services.revocations import Revocations
from tests.services.account_parts import ADDRESS, PASSWORD, Setup


@pytest.fixture
def it(database: Database) -> Setup:
    return Setup(database)


async def test_a_refresh_token_is_exchanged_for_the_next_pair_of_the_same_login(it: Setup) -> None:
    await it.ada()
    first = await it.accounts.login("ada", PASSWORD, ADDRESS)
    second = await it.accounts.refresh(first.refresh_token)
    third = await it.accounts.refresh(second.refresh_token)
    assert len({grant.refresh_token for grant in (first, second, third)}) == 3
    who = [await it.accounts.authenticate(grant.access_token) for grant in (first, second, third)]
    assert len({one.credential for one in who}) == 1
    assert it.ended == []


async def test_a_refresh_token_that_is_used_twice_ends_its_login_and_no_other(it: Setup) -> None:
    await it.ada()
    first = await it.accounts.login("ada", PASSWORD, ADDRESS)
    other = await it.accounts.login("ada", PASSWORD, ADDRESS)
    family = (await it.accounts.authenticate(first.access_token)).credential
    second = await it.accounts.refresh(first.refresh_token)
    with pytest.raises(Unauthorized):
        await it.accounts.refresh(first.refresh_token)
    await it.dead(first.access_token, second.access_token)
    for ended in (first, second):
        with pytest.raises(Unauthorized):
            await it.accounts.refresh(ended.refresh_token)
    assert it.ended == [family]
    assert await it.accounts.authenticate(other.access_token)
    assert await it.accounts.refresh(other.refresh_token)


async def test_a_refresh_token_used_by_two_at_once_ends_its_login(it: Setup) -> None:
    await it.ada()
    grant = await it.accounts.login("ada", PASSWORD, ADDRESS)
    done = await asyncio.gather(*(it.accounts.refresh(grant.refresh_token) for _ in range(5)), return_exceptions=True)
    (won,) = [one for one in done if not isinstance(one, BaseException)]
    assert [type(one) for one in done].count(Unauthorized) == 4
    await it.dead(grant.access_token, won.access_token)
    with pytest.raises(Unauthorized):
        await it.accounts.refresh(won.refresh_token)
    assert len(it.ended) == 1


async def test_no_successor_outlives_a_login_that_ends_while_it_is_refreshed(it: Setup) -> None:
    await it.ada()
    for _ in range(10):
        grant = await it.accounts.login("ada", PASSWORD, ADDRESS)
        who = await it.accounts.authenticate(grant.access_token)
        done, _ = await asyncio.gather(
            it.accounts.refresh(grant.refresh_token), it.accounts.logout(who), return_exceptions=True
        )
        await it.dead(grant.access_token)
        if not isinstance(done, BaseException):
            await it.dead(done.access_token)
            with pytest.raises(Unauthorized):
                await it.accounts.refresh(done.refresh_token)


@pytest.mark.parametrize("shown", ["", "never-was", "é", "x" * 5000])
async def test_an_unknown_refresh_token_is_refused(it: Setup, shown: str) -> None:
    with pytest.raises(Unauthorized, match=r"^This token is not valid.$"):
        await it.accounts.refresh(shown)


async def test_neither_token_does_for_the_other(it: Setup) -> None:
    await it.ada()
    grant = await it.accounts.login("ada", PASSWORD, ADDRESS)
    await it.dead(grant.refresh_token)
    with pytest.raises(Unauthorized):
        await it.accounts.refresh(grant.access_token)
    assert await it.accounts.authenticate(grant.access_token)


async def test_a_refresh_token_expires_and_each_use_begins_its_time_anew(it: Setup) -> None:
    it.clock.move(days=-60)
    await it.ada()
    grant = await it.accounts.login("ada", PASSWORD, ADDRESS)
    it.clock.move(days=29)
    grant = await it.accounts.refresh(grant.refresh_token)
    it.clock.move(days=30)
    with pytest.raises(Unauthorized):
        await it.accounts.refresh(grant.refresh_token)


async def test_expired_refresh_tokens_are_forgotten_and_others_kept(it: Setup) -> None:
    it.clock.move(days=-60)
    await it.ada()
    await it.accounts.login("ada", PASSWORD, ADDRESS)
    await it.accounts.login("ada", PASSWORD, ADDRESS)
    it.clock.move(days=60)
    living = await it.accounts.login("ada", PASSWORD, ADDRESS)
    assert await it.accounts.expire() == 2
    assert await it.accounts.expire() == 0
    assert await it.accounts.refresh(living.refresh_token)


async def test_logout_ends_the_login_that_is_shown(it: Setup) -> None:
    await it.ada()
    grant = await it.accounts.login("ada", PASSWORD, ADDRESS)
    other = await it.accounts.login("ada", PASSWORD, ADDRESS)
    who = await it.accounts.authenticate(grant.access_token)
    await it.accounts.logout(who)
    await it.accounts.logout(who)
    assert it.ended == [who.credential]
    await it.dead(grant.access_token)
    with pytest.raises(Unauthorized):
        await it.accounts.refresh(grant.refresh_token)
    assert await it.accounts.authenticate(other.access_token)


async def test_logout_ends_the_login_of_a_refresh_token_without_any_other_proof(it: Setup) -> None:
    await it.ada()
    grant = await it.accounts.login("ada", PASSWORD, ADDRESS)
    await it.accounts.logout(ANONYMOUS, "never-was")
    assert it.ended == []
    await it.accounts.logout(ANONYMOUS, grant.refresh_token)
    await it.dead(grant.access_token)


async def test_logout_needs_something_to_end(it: Setup) -> None:
    ada = await it.ada()
    key = await it.accounts.keys.create(ada.id, "report")
    with pytest.raises(Unauthorized):
        await it.accounts.logout(ANONYMOUS)
    with pytest.raises(Forbidden):
        await it.accounts.logout(await it.accounts.authenticate(key.key))
    assert await it.accounts.authenticate(key.key)


async def test_a_password_that_changes_while_it_is_proved_begins_no_login(it: Setup) -> None:
    ada = await it.ada()
    logins = Logins(it.database, it.tokens, Revocations(), clock=it.clock, refresh_days=0)
    with pytest.raises(Unauthorized, match="Wrong user name or password"):
        await logins.start(Secret(ada.id, "the hash that it had", True), None)
    assert await it.accounts.expire() == 0
