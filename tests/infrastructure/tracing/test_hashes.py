"""Ids leave as hashes that only this service can make."""

from infrastructure.tracing.hashes import Hashes
from tests.infrastructure.tracing.spans import SESSION

HASHES = Hashes("a secret of this service")


def test_an_id_has_one_hash_of_sixteen_hexadecimal_digits() -> None:
    hashed = HASHES.session(SESSION)
    assert hashed == HASHES.session(SESSION)
    assert len(bytes.fromhex(hashed)) == 8
    assert hashed not in SESSION.replace("-", "")


def test_another_secret_makes_another_hash() -> None:
    assert Hashes("another").session(SESSION) != HASHES.session(SESSION)


def test_a_user_and_a_session_of_one_id_cannot_be_brought_together() -> None:
    assert HASHES.user(SESSION) != HASHES.session(SESSION)


def test_a_trace_is_found_by_its_run_and_does_not_tell_it() -> None:
    found = HASHES.trace_id(SESSION)
    assert found == HASHES.trace_id(SESSION)
    assert len(found) == 16
    assert found.hex() != SESSION.replace("-", "")
