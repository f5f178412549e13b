"""Failed logins are counted by address and by name; a success is not."""

import pytest

from infrastructure.errors import RateLimited
from infrastructure.redis.link import RedisLink
from infrastructure.redis.rate_windows import RateWindows
from services.login_limit import LoginLimit


async def test_an_address_may_fail_so_often_whatever_names_it_tries() -> None:
    limit = LoginLimit(per_address=5, per_name=100)
    for n in range(5):
        await limit.require("192.0.2.1", f"user{n}")
        await limit.failed("192.0.2.1", f"user{n}")
    with pytest.raises(RateLimited) as refused:
        await limit.require("192.0.2.1", "another")
    assert refused.value.retry_after is not None
    assert 1 <= refused.value.retry_after <= 300
    await limit.require("192.0.2.2", "another")


async def test_a_name_may_fail_so_often_whatever_the_address() -> None:
    limit = LoginLimit(per_address=100, per_name=5)
    for n in range(5):
        await limit.failed(f"192.0.2.{n}", "ada")
    with pytest.raises(RateLimited):
        await limit.require("192.0.2.200", "ada")
    await limit.require("192.0.2.200", "bob")


async def test_to_ask_does_not_count() -> None:
    limit = LoginLimit(per_address=1, per_name=1)
    for _ in range(10):
        await limit.require("192.0.2.1", "ada")


async def test_the_defaults_are_twenty_for_an_address_and_thirty_for_a_name() -> None:
    limit = LoginLimit()
    for n in range(30):
        await limit.require(f"192.0.2.{n}", "ada")
        await limit.failed(f"192.0.2.{n}", "ada")
    with pytest.raises(RateLimited):
        await limit.require("192.0.2.99", "ada")
    for _ in range(20):
        await limit.require("192.0.2.100", "bob")
        await limit.failed("192.0.2.100", "bob")
    with pytest.raises(RateLimited):
        await limit.require("192.0.2.100", "bob")


async def test_the_failures_at_all_workers_count_together(link: RedisLink) -> None:
    one, two = (LoginLimit(per_address=4, per_name=4, shared=RateWindows(link, wait_seconds=5)) for _ in range(2))
    for n in range(4):
        await (one, two)[n % 2].failed("192.0.2.1", f"user{n}")
        await (two, one)[n % 2].failed(f"192.0.2.1{n}", "ada")
    for limit in (one, two):
        with pytest.raises(RateLimited):
            await limit.require("192.0.2.1", "another")
        with pytest.raises(RateLimited):
            await limit.require("192.0.2.2", "ada")
        await limit.require("192.0.2.2", "another")
