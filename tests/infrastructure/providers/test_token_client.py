"""authlib against a sign-in that means no good, and one whose certificate is its own."""

import asyncio
import datetime
import gzip
import json
import logging
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from infrastructure.errors import ProviderError, ProviderProtocolError, ProviderRejected, ProviderUnavailable
from infrastructure.providers.oauth import Grant, OAuthTokens
from infrastructure.providers.retry import TryAgain
from infrastructure.providers.token_client import MAX_ANSWER, TokenClient
from tests.infrastructure.providers.sign_in import SignIn

CLIENT = {"grant_type": "client_credentials"}
TOKEN = {"access_token": "t", "expires_in": 300}
NOT_LOADED = """
import sys
import backend.main, backend.models
print("authlib" in sys.modules)
"""


@pytest.fixture
async def sign_in() -> AsyncIterator[SignIn]:
    async with SignIn() as sign_in:
        yield sign_in


@pytest.fixture
async def client(sign_in: SignIn) -> AsyncIterator[TokenClient]:
    client = TokenClient(sign_in.token_url, "askgraph", "s:cr%t")
    yield client
    await client.aclose()


def body(data: bytes, **headers: str) -> web.Response:
    return web.Response(body=data, content_type="application/json", headers=headers)


@pytest.mark.parametrize(
    "answer",
    [
        body(b"[" * 100_000),
        body(b"[" * (MAX_ANSWER + 1)),
        body(json.dumps(TOKEN | {"access_token": "x" * MAX_ANSWER}).encode()),
        body(gzip.compress(json.dumps(TOKEN | {"more": "x" * (8 << 20)}).encode()), **{"Content-Encoding": "gzip"}),
        body(b'{"access_token": "\xff"}'),
        body(b'{"access_token": "t", "expires_in": NaN}'),
        body(b'{"error": "invalid_grant", "error_description": "s:cr%t"}'),
        body(b'{"access_token": ["t"]}'),
        body(b'{"access_token": "\\ud800"}'),
        body(b""),
    ],
)
async def test_what_is_no_token_is_not_taken_for_one(
    sign_in: SignIn, client: TokenClient, answer: web.Response
) -> None:
    async def give(request: web.Request) -> web.StreamResponse:
        return answer

    sign_in.answers.append(give)
    with pytest.raises(ProviderProtocolError) as failed:
        await client.grant(CLIENT)
    assert str(failed.value) == "The model's sign-in gave no token."
    assert await client.grant(CLIENT) == {"access_token": "t2", "token_type": "Bearer", "expires_in": 300} | {
        "expires_at": pytest.approx(datetime.datetime.now().timestamp() + 300, abs=5)
    }  # and the next one is


@pytest.mark.parametrize(("life", "kept"), [(10, 10), ("soon", None), ([1], None), (1e300, None), (0.5, 0.5)])
async def test_a_life_that_is_none_is_left_out(
    sign_in: SignIn, client: TokenClient, life: object, kept: float | None
) -> None:
    sign_in.answers.append((200, {"access_token": "t", "expires_in": life, "expires_at": "canary", "token_type": 7}))
    assert (await client.grant(CLIENT)).get("expires_in") == kept


async def test_an_endless_answer_is_left_at_its_bound(sign_in: SignIn, client: TokenClient) -> None:
    sent = 0
    left = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b" " * 65536)
                sent += 65536
        except ConnectionError:
            left.set()
            raise

    sign_in.answers.append(endless)
    with pytest.raises(ProviderProtocolError):
        await client.grant(CLIENT)
    async with asyncio.timeout(30):
        await left.wait()
    assert sent < 64 << 20  # what the sockets between them hold, and not what it had to send


async def test_an_answer_that_drips_has_its_time_and_no_more(sign_in: SignIn) -> None:
    left = asyncio.Event()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.01)
        except (ConnectionError, asyncio.CancelledError):
            left.set()
            raise

    sign_in.answers.append(drip)
    tokens = OAuthTokens(sign_in.token_url, Grant("askgraph", "secret"), seconds=0.1)
    with pytest.raises(ProviderUnavailable, match="in time"):
        await tokens()
    async with asyncio.timeout(30):
        await left.wait()
    await tokens.aclose()


async def test_a_redirect_is_not_followed_and_a_cookie_is_not_kept(sign_in: SignIn, client: TokenClient) -> None:
    async def elsewhere(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": sign_in.token_url, "Set-Cookie": "canary=1; Path=/"})

    async def cookie(request: web.Request) -> web.StreamResponse:
        return web.json_response(TOKEN, headers={"Set-Cookie": "canary=1; Path=/"})

    sign_in.answers += [elsewhere, cookie]
    with pytest.raises(ProviderRejected):
        await client.grant(CLIENT)
    assert len(sign_in.forms) == 1
    await client.grant(CLIENT)
    await client.grant(CLIENT)
    assert [head for head in sign_in.heads if "Cookie" in head] == []
    assert {(head["User-Agent"], head["Accept-Encoding"]) for head in sign_in.heads} == {("askgraph", "identity")}


async def test_no_proxy_of_the_environment_is_asked(sign_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    client = TokenClient(sign_in.token_url, "askgraph", "secret")
    assert (await client.grant(CLIENT))["access_token"] == "t1"
    await client.aclose()


async def test_a_refresh_token_stays_good_where_no_other_comes(sign_in: SignIn, client: TokenClient) -> None:
    assert (await client.refresh("r9"))["refresh_token"] == "r9"
    sign_in.refresh = True
    assert (await client.refresh("r9"))["refresh_token"] == "r2"
    assert sign_in.forms == [{"grant_type": "refresh_token", "refresh_token": "r9"}] * 2
    assert "t1" not in str(vars(client._oauth))


async def test_letters_outside_ascii_go_out_as_utf8(sign_in: SignIn) -> None:
    client = TokenClient(sign_in.token_url, "аск", "пароль")
    await client.grant({"grant_type": "password", "username": "Ада", "password": ""})
    await client.aclose()
    assert sign_in.forms == [{"grant_type": "password", "username": "Ада", "password": ""}]
    assert sign_in.basics == ["%D0%B0%D1%81%D0%BA:%D0%BF%D0%B0%D1%80%D0%BE%D0%BB%D1%8C"]


@pytest.mark.parametrize("junk", [b"pass word s:cr%t\r\n\r\n", b"HTTP/1.1 200 OK\r\npass word s:cr%t\r\n\r\n", b""])
async def test_what_is_no_http_may_pass_and_is_not_repeated(junk: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(junk)
        writer.close()

    caplog.set_level(logging.DEBUG)
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = TokenClient(f"http://127.0.0.1:{port}/token", "askgraph", "s:cr%t")
    with pytest.raises(TryAgain) as failed:
        await client.grant({"grant_type": "password", "username": "ada", "password": "pass word"})
    await client.aclose()
    server.close()
    fault = failed.value
    said = f"{fault} {fault.reason} {fault.__cause__!r} {fault.__context__!r} {caplog.text}"
    assert [secret for secret in ("pass word", "s:cr", str(port)) if secret in said] == []


async def test_neither_address_nor_secret_is_logged_or_shown(
    sign_in: SignIn, client: TokenClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await client.grant({"grant_type": "password", "username": "ada", "password": "pass word"})
    sign_in.answers.append((401, {"error": "invalid_client", "error_description": "pass word"}))
    with pytest.raises(ProviderError) as failed:
        await client.grant(CLIENT)
    said = f"{caplog.text} {client!r} {client._oauth!r} {failed.value!r} {failed.value.__context__!r}"
    assert [secret for secret in ("pass word", "s:cr", "s%3Acr", "127.0.0.1", "t1") if secret in said] == []


def own_certificate(folder: Path) -> ssl.SSLContext:
    """A server's TLS context with a certificate that nobody but itself vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sign-in")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    )  # fmt: skip
    plain = serialization.NoEncryption()
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def test_a_certificate_of_its_own_is_taken_where_the_operator_says_so(tmp_path: Path) -> None:
    async with SignIn(own_certificate(tmp_path)) as sign_in:
        trusting = TokenClient(sign_in.token_url, "askgraph", "secret", verify_ssl=False)
        assert (await trusting.grant(CLIENT))["access_token"] == "t1"
        await trusting.aclose()
        careful = TokenClient(sign_in.token_url, "askgraph", "secret")
        with pytest.raises(TryAgain):
            await careful.grant(CLIENT)
        await careful.aclose()
        assert len(sign_in.forms) == 1


def test_an_address_that_cannot_be_asked_is_refused_without_being_told() -> None:
    with pytest.raises(ValueError, match="token URL") as failed:
        TokenClient(f"http://id.example/{'canary' * 20_000}", "askgraph", None)
    assert "canary" not in str(failed.value)


def test_it_is_not_loaded_where_nobody_signs_in() -> None:
    done = subprocess.run([sys.executable, "-c", NOT_LOADED], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
