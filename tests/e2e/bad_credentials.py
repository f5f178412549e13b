"""Credentials that will not do: broken headers, and tokens that somebody made up or bent."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from hashlib import sha256, sha512
from hmac import new as hmac
from typing import Any
from uuid import uuid4

import jwt

LARGE = "a" * 10_000
USUAL = {"alg": "HS256", "typ": "JWT"}


def headers(good: str, key: str, other: str) -> dict[str, tuple[list[str], int, int]]:
    """Header lines, and what `/auth/me` and a list of chats answer. `good` and `other` are two good access tokens."""
    bearer, api_key = f"Authorization: Bearer {good}", f"X-API-Key: {key}"
    shown_and_bad = {
        "no token": ["Authorization: Bearer"],
        "blank token": ["Authorization: Bearer   "],
        "more behind it": [f"{bearer} more"],
        "two in one": [f"{bearer},{other}"],
        "in quotes": [f'Authorization: Bearer "{good}"'],
        "not ASCII": ["Authorization: Bearer \xe9\xff"],
        "not ASCII behind": [f"{bearer}\xe9"],
        "10 kB": [f"Authorization: Bearer {LARGE}"],
        "10 kB behind": [f"{bearer}.{LARGE}"],
        "10 kB of key": [f"X-API-Key: ask_{LARGE}"],
        "two tokens": [bearer, f"Authorization: Bearer {other}"],
        "a good and a bad one": [bearer, "Authorization: Bearer x"],
        "a bad and a good one": ["Authorization: Bearer x", bearer],
        "token and key": [bearer, api_key],
        "token and empty key": [bearer, "X-API-Key:"],
        "empty key": ["X-API-Key:"],
        "a token as key": [f"X-API-Key: {good}"],
        "key without end": [f"X-API-Key: {key[:-1]}"],
        "key with more": [f"X-API-Key: {key}a"],
        "its start": [f"X-API-Key: {key[:12]}"],
        "another end": [f"X-API-Key: {key[:-1]}{'a' if key[-1] != 'a' else 'b'}"],
        "key in capitals": [f"X-API-Key: {key.upper()}"],
        "key with an accent": [f"X-API-Key: {key[:-1]}\xe9"],
        "Bearer twice": [f"Authorization: Bearer Bearer {good}"],
        "a key's start alone": ["X-API-Key: ask_"],
        "wildcards": [f"X-API-Key: {key[:8]}%%%%"],
    }
    meant_for_others = {
        "nothing": [],
        "empty": ["Authorization:"],
        "blank": ["Authorization:   "],
        "no scheme": [f"Authorization: {good}"],
        "Basic": ["Authorization: Basic YTpi"],
        "Basic that is none": ["Authorization: Basic \xe9"],
        "Digest": [f"Authorization: Digest {good}"],
        "Token": [f"Authorization: Token {good}"],
        "a tab": [f"Authorization: Bearer\t{good}"],
        "Bearer: ": [f"Authorization: Bearer:{good}"],
        "a cookie": [f"Cookie: access_token={good}"],
        "to a proxy": [f"Proxy-Authorization: Bearer {good}"],
        "another scheme of 10 kB": [f"Authorization: {LARGE}"],
        "X-User": ["X-User-ID: 1", "X-Forwarded-User: root", "Remote-User: root"],
    }
    good_ones = {
        "token": [bearer],
        "key": [api_key],
        "key as token": [f"Authorization: Bearer {key}"],
        "capitals": [f"AUTHORIZATION: BEARER {good}"],
        "twice the same": [bearer, bearer],
        "spaces": [f"Authorization:   Bearer   {good}  "],
        "beside Basic": ["Authorization: Basic YTpi", bearer],
    }
    broken = {
        "NUL": [f"{bearer}\0"],
        "a control": ["Authorization: Bearer a\x01b"],
        "a fold": ["Authorization: Bearer", f" {good}"],
    }
    return (
        {name: (lines, 401, 401) for name, lines in shown_and_bad.items()}
        | {name: (lines, 401, 200) for name, lines in meant_for_others.items()}
        | {name: (lines, 200, 200) for name, lines in good_ones.items()}
        | {name: (lines, 400, 400) for name, lines in broken.items()}
    )


def _part(value: Any) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _signed(header: Any, claims: Any, secret: str, digest: Any = sha256) -> str:
    """A token put together by hand: its header may say anything."""
    body = f"{_part(header)}.{_part(claims)}"
    signature = hmac(secret.encode(), body.encode(), digest).digest()
    return f"{body}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def tokens(good: str, secret: str, other: str) -> Iterator[tuple[str, str]]:
    """Tokens by what is wrong with them. Each has one fault; `other` is another user's."""
    claims = jwt.decode(good, options={"verify_signature": False})
    theirs = jwt.decode(other, options={"verify_signature": False})
    yield from _other_headers(good, claims, secret)
    yield from _other_claims(claims, theirs, secret)
    yield from _other_shapes(good, other, {**claims, "sub": theirs["sub"]})


def same(good: str, secret: str) -> str:
    """The good token, put together by hand: what shows that the bad ones fail for their faults alone."""
    return _signed(USUAL, jwt.decode(good, options={"verify_signature": False}), secret)


def _other_headers(good: str, claims: dict[str, Any], secret: str) -> Iterator[tuple[str, str]]:
    _, payload, signature = good.split(".")
    for name in ("none", "None", "NONE", "nOnE", ""):
        for end in ("", signature):
            yield f"alg {name!r} with {'the old' if end else 'no'} signature", f"{_part({'alg': name})}.{payload}.{end}"
    for name in ("RS256", "ES256", "PS256", "EdDSA", "HS512", "HS384", "hs256", "x"):
        yield f"alg {name}, signed by the secret", _signed({"alg": name, "typ": "JWT"}, claims, secret)
    yield "HS512, rightly signed", _signed({"alg": "HS512", "typ": "JWT"}, claims, secret, sha512)
    for header in ({}, {"alg": None}, {"alg": ["HS256"]}, {"alg": 256}, [], "x", {**USUAL, "crit": ["x"], "x": 1}):
        yield f"header {header}", _signed(header, claims, secret)
    for wrong in ("", "wrong", secret[:-1], secret.upper(), f"{secret}\n"):
        yield f"signed by {wrong[:6]!r}", _signed(USUAL, claims, wrong)


def _other_claims(claims: dict[str, Any], theirs: dict[str, Any], secret: str) -> Iterator[tuple[str, str]]:
    now, later = claims["iat"], claims["exp"]
    for name, values in {
        "aud": ("askgraph", "", None, [], ["other"], 1, {"askgraph-api": 1}),
        "iss": ("other", "", None, ["askgraph"], 1),
        "exp": (now - 3600, 0, -1, None, "x", str(now - 1), [later], 1e-300),
        "iat": (later + 10**6, None, "x"),
        "nbf": (later + 10**6, "x"),
        "use": ("refresh", "", None, True, ["access"], "ACCESS"),
        "sub": (theirs["sub"], str(uuid4()), "", "x", None, 1, [claims["sub"]], {}, "\0", "root"),
        "sid": (theirs["sid"], str(uuid4()), "", "x", None, 1, [], "' OR 1=1--"),
    }.items():
        for value in values:
            yield f"{name} {str(value)[:20]!r}", _signed(USUAL, {**claims, name: value}, secret)
    for name in ("iss", "aud", "sub", "sid", "jti", "iat", "exp", "use"):
        yield f"no {name}", _signed(USUAL, {key: claims[key] for key in claims if key != name}, secret)
    for none in ([], "x", 1, None, True):
        yield f"claims {none}", _signed(USUAL, none, secret)


def _other_shapes(good: str, other: str, bent: dict[str, Any]) -> Iterator[tuple[str, str]]:
    head, payload, signature = good.split(".")
    yield "a payload that was changed", f"{head}.{_part(bent)}.{signature}"
    yield "another's payload", f"{head}.{other.split('.')[1]}.{signature}"
    yield "another's signature", f"{head}.{payload}.{other.split('.')[2]}"
    yield "no signature", f"{head}.{payload}"
    yield "an empty one", f"{head}.{payload}."
    yield "half of it", f"{head}.{payload}.{signature[:20]}"
    yield "four parts", f"{good}.x"
    yield "five parts", f"{good}.x.y"
    yield "dots", ".."
    yield "one part", payload
    yield "turned round", f"{signature}.{payload}.{head}"
    yield "no base64", f"{head}.*.{signature}"
    yield "padded", f"{head}.{payload}==.{signature}"
    yield "no JSON", f"{_part(1)[:-1]}.{payload}.{signature}"
    yield "many dots", "." * 4000
    yield "many parts", "e30." * 1250
