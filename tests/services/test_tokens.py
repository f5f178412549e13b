"""Access tokens: only what we signed, for this use, now."""

import base64
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.errors import Unauthorized
from services.tokens import AUDIENCE, ISSUER, MAX_TOKEN_CHARS, TokenSigner
from tests.services.account_parts import SECRET

USER, FAMILY = str(uuid4()), str(uuid4())


def now() -> datetime:
    return datetime.now(UTC)


def signer(algorithm: str = "HS256", clock: Callable[[], datetime] = now) -> TokenSigner:
    return TokenSigner(SECRET, algorithm, 30, clock=clock)


def claims(**other: Any) -> dict[str, Any]:
    """Those of a valid token, changed; what is `...` is left out."""
    at = int(now().timestamp())
    sound = {
        "iss": ISSUER, "aud": AUDIENCE, "use": "access", "sub": USER, "sid": FAMILY, "jti": "1", "iat": at,
        "exp": at + 60,
    }  # fmt: skip
    return {name: value for name, value in (sound | other).items() if value is not ...}


def handmade(header: dict[str, Any], body: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(body).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def refused(token: str, by: TokenSigner | None = None) -> None:
    with pytest.raises(Unauthorized) as error:
        (by or signer()).read(token)
    assert error.value.message == "This token is not valid."


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_token_says_who_and_by_which_login(algorithm: str) -> None:
    it = signer(algorithm)
    token = it.sign(USER, FAMILY)
    read = it.read(token)
    assert (read.user_id, read.family_id) == (USER, FAMILY)
    assert read.expires_at - now().timestamp() == pytest.approx(1800, abs=5)
    assert it.expires_in == 1800
    assert jwt.get_unverified_header(token)["alg"] == algorithm


def test_each_token_is_another() -> None:
    at = now()
    it = signer(clock=lambda: at)
    assert it.sign(USER, FAMILY) != it.sign(USER, FAMILY)


def test_the_claims_used_here_are_sound_as_they_are() -> None:
    assert signer().read(jwt.encode(claims(), SECRET, "HS256")).user_id == USER
    assert signer().read(jwt.encode(claims(aud=[AUDIENCE, "other"]), SECRET, "HS256")).user_id == USER


@pytest.mark.parametrize("name", ["iss", "aud", "use", "sub", "sid", "jti", "iat", "exp"])
def test_a_token_without_one_of_its_claims_is_refused(name: str) -> None:
    refused(jwt.encode(claims(**{name: ...}), SECRET, "HS256"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "another"}, {"iss": f"{ISSUER} "}, {"aud": "another"}, {"aud": ["another"]}, {"aud": []},
        {"use": "refresh"}, {"use": None}, {"use": ["access"]}, {"sub": "ada"}, {"sub": ""}, {"sid": "x"},
        {"sid": 7}, {"sid": None}, {"exp": 0}, {"exp": "soon"}, {"exp": None},
        {"iat": 2**40}, {"iat": "x"}, {"nbf": 2**40},
    ],
    ids=str,
)  # fmt: skip
def test_a_token_for_something_else_is_refused(wrong: dict[str, Any]) -> None:
    refused(jwt.encode(claims(**wrong), SECRET, "HS256"))


def test_a_token_is_refused_from_the_second_in_which_it_expires() -> None:
    refused(signer(clock=lambda: now() - timedelta(minutes=30)).sign(USER, FAMILY))
    assert signer(clock=lambda: now() - timedelta(minutes=29)).sign(USER, FAMILY)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
def test_a_token_that_nobody_signed_is_refused(algorithm: str) -> None:
    refused(handmade({"alg": algorithm, "typ": "JWT"}, claims()))
    refused(handmade({"alg": algorithm, "typ": "JWT"}, claims(), b"signature"))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA", "PS256", "HS384", "HS512", "hs256"])
def test_the_token_does_not_choose_its_algorithm(algorithm: str) -> None:
    """As in key confusion: signed with the secret by HMAC, said to be something else."""
    header, body = handmade({"alg": algorithm, "typ": "JWT"}, claims()).split(".")[:2]
    algorithms = {"HS384": "sha384", "HS512": "sha512"}
    signature = hmac.digest(SECRET.encode(), f"{header}.{body}".encode(), algorithms.get(algorithm, "sha256"))
    refused(f"{header}.{body}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}")


def test_a_token_of_another_of_our_algorithms_is_refused() -> None:
    refused(signer("HS512").sign(USER, FAMILY), signer("HS256"))


def test_a_token_signed_with_another_secret_is_refused() -> None:
    refused(TokenSigner(SECRET + "x", "HS256", 30, clock=now).sign(USER, FAMILY))
    refused(jwt.encode(claims(), "x" * 64, "HS256"))


def test_a_changed_token_is_refused() -> None:
    header, body, signature = signer().sign(USER, FAMILY).split(".")
    other = handmade({}, claims(sub=str(uuid4()))).split(".")[1]
    refused(f"{header}.{other}.{signature}")
    refused(f"{header}.{body}.{signature[::-1]}")
    refused(f"{header}.{body}.")
    refused(f"{header}.{body}")


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a.b.c", "é.é.é", "\ud800", "\0", "x" * (MAX_TOKEN_CHARS + 1), "." * 4000,
     handmade({"alg": "HS256"}, {}), "bnVsbA.bnVsbA.bnVsbA", "W10.W10.W10"],
)  # fmt: skip
def test_what_is_no_token_is_refused(token: str) -> None:
    refused(token)


@given(st.text(max_size=200) | st.from_regex(r"\A[\w-]{1,40}\.[\w-]{1,40}\.[\w-]{1,40}\Z"))
def test_whatever_is_shown_is_refused_in_the_one_way(token: str) -> None:
    refused(token)


@pytest.mark.parametrize("algorithm", ["none", "RS256", "", "hs256"])
def test_no_other_algorithm_can_be_set(algorithm: str) -> None:
    with pytest.raises(ValueError, match="HS256, HS384, HS512"):
        TokenSigner(SECRET, algorithm, 30, clock=now)
