"""Passwords are hashed by Argon2id, taken as they are, and a few at a time."""

import asyncio
import threading

import pytest
from pwdlib import PasswordHash

from infrastructure.errors import RateLimited
from services import passwords
from services.passwords import AT_ONCE, Passwords
from tests.services.account_parts import CountingHash, cheap_hash


async def test_a_password_is_kept_as_argon2id() -> None:
    kept = await Passwords().hash("correct horse battery staple")
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert await Passwords().verify("correct horse battery staple", kept) == (True, None)
    assert await Passwords().verify("correct horse battery stapler", kept) == (False, None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x" * 72, "x" * 73),
        ("x" * 72 + "a", "x" * 72 + "b"),
        ("é" * 36 + "a", "é" * 36 + "b"),
        ("caf\u00e9 noir", "cafe\u0301 noir"),
        ("password", "Password"),
        (" password", "password"),
    ],
)
async def test_passwords_that_differ_at_all_are_different(one: str, other: str) -> None:
    it = Passwords(cheap_hash())
    kept = await it.hash(one)
    assert (await it.verify(one, kept))[0]
    assert not (await it.verify(other, kept))[0]


async def test_a_hash_of_older_parameters_gets_a_newer_one() -> None:
    older = await Passwords(cheap_hash(1)).hash("password")
    same, newer = await Passwords(cheap_hash(2)).verify("password", older)
    assert same
    assert newer is not None
    assert await Passwords(cheap_hash(2)).verify("password", newer) == (True, None)
    assert await Passwords(cheap_hash(2)).verify("passwort", older) == (False, None)


async def test_a_user_who_is_not_there_costs_the_same_one_verification() -> None:
    hasher = CountingHash()
    it = Passwords(hasher)
    kept = await it.hash("password")
    await it.verify("wrong", kept)
    hashed = hasher.hashed
    hasher.verified = 0
    assert await it.verify("wrong", None) == (False, None)
    assert (hasher.verified, hasher.hashed) == (1, hashed)


class Gate(PasswordHash):
    """Holds every hash until the gate is opened; knows how many were at it at once."""

    def __init__(self) -> None:
        super().__init__(cheap_hash().hashers)
        self.opened = threading.Event()
        self.reached = threading.Semaphore(0)
        self.now = self.most = 0
        self._lock = threading.Lock()

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.reached.release()
        assert self.opened.wait(20)
        with self._lock:
            self.now -= 1
        return "hashed"


async def test_no_more_than_two_are_hashed_at_once_and_the_loop_goes_on() -> None:
    gate = Gate()
    it = Passwords(gate)
    tasks = [asyncio.create_task(it.hash("password")) for _ in range(8)]
    for _ in range(AT_ONCE):
        await asyncio.to_thread(gate.reached.acquire)
    gate.opened.set()
    assert await asyncio.gather(*tasks) == ["hashed"] * 8
    assert gate.most == AT_ONCE


async def test_who_comes_when_too_many_wait_is_told_to_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MAX_WAITING", 3)
    gate = Gate()
    it = Passwords(gate)
    tasks = [asyncio.create_task(it.hash("password")) for _ in range(3)]
    await asyncio.to_thread(gate.reached.acquire)
    with pytest.raises(RateLimited) as refused:
        await it.hash("password")
    assert refused.value.retry_after
    gate.opened.set()
    await asyncio.gather(*tasks)
    assert await it.hash("password") == "hashed"


async def test_what_permits_is_asked_when_the_turn_comes_and_before_any_work() -> None:
    hasher = CountingHash()

    async def refuse() -> None:
        raise RateLimited("no")

    with pytest.raises(RateLimited):
        await Passwords(hasher).verify("password", None, refuse)
    assert (hasher.verified, hasher.hashed) == (0, 0)
