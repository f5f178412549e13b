"""Failed logins are counted by address and by name; a success is not."""

import pytest

from infrastructure.errors import RateLimited
from services.login_limit import LoginLimit


def test_an_address_may_fail_so_often_whatever_names_it_tries() -> None:
    limit = LoginLimit(per_address=5, per_name=100)
    for n in range(5):
        limit.require("192.0.2.1", f"user{n}")
        limit.failed("192.0.2.1", f"user{n}")
    with pytest.raises(RateLimited) as refused:
        limit.require("192.0.2.1", "another")
    assert refused.value.retry_after is not None
    assert 1 <= refused.value.retry_after <= 300
    limit.require("192.0.2.2", "another")


def test_a_name_may_fail_so_often_whatever_the_address() -> None:
    limit = LoginLimit(per_address=100, per_name=5)
    for n in range(5):
        limit.failed(f"192.0.2.{n}", "ada")
    with pytest.raises(RateLimited):
        limit.require("192.0.2.200", "ada")
    limit.require("192.0.2.200", "bob")


def test_to_ask_does_not_count() -> None:
    limit = LoginLimit(per_address=1, per_name=1)
    for _ in range(10):
        limit.require("192.0.2.1", "ada")


def test_the_defaults_are_twenty_for_an_address_and_thirty_for_a_name() -> None:
    limit = LoginLimit()
    for n in range(30):
        limit.require(f"192.0.2.{n}", "ada")
        limit.failed(f"192.0.2.{n}", "ada")
    with pytest.raises(RateLimited):
        limit.require("192.0.2.99", "ada")
    for _ in range(20):
        limit.require("192.0.2.100", "bob")
        limit.failed("192.0.2.100", "bob")
    with pytest.raises(RateLimited):
        limit.require("192.0.2.100", "bob")
