"""Tokens of an OpenID provider: got, kept, renewed, and never told."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import structlog

from infrastructure.errors import ProviderError, ProviderProtocolError, ProviderRejected, ProviderUnavailable
from infrastructure.providers.guarded import GuardedModel
from infrastructure.providers.oauth import Grant, OAuthTokens, token_url
from infrastructure.providers.retry import TryAgain
from tests.infrastructure.providers.asking import Heard, question
from tests.infrastructure.providers.clock import Clock
from tests.infrastructure.providers.conftest import MakeProvider
from tests.infrastructure.providers.sign_in import SignIn

USER = Grant("askgraph", "s:cr%t", "ada", "pass word")


@pytest.fixture
async def sign_in() -> AsyncIterator[SignIn]:
    async with SignIn() as sign_in:
        yield sign_in


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def tokens(sign_in: SignIn, clock: Clock) -> AsyncIterator[OAuthTokens]:
    tokens = OAuthTokens(sign_in.token_url, USER, clock=clock)
    yield tokens
    await tokens.aclose()


@pytest.fixture
def hub(make_provider: MakeProvider, sign_in: SignIn, tokens: OAuthTokens) -> GuardedModel:
    return make_provider(base_url=f"{sign_in.url}/v1", api_key=tokens, name="aihub")


async def test_a_users_password_gets_a_token(sign_in: SignIn, tokens: OAuthTokens) -> None:
    assert await tokens() == "t1"
    assert sign_in.forms == [{"grant_type": "password", "username": "ada", "password": "pass word", "scope": "openid"}]
    assert sign_in.basics == ["askgraph:s%3Acr%25t"]


@pytest.mark.parametrize(
    ("grant", "form", "basic"),
    [
        (Grant("askgraph", "secret"), {"grant_type": "client_credentials"}, "askgraph:secret"),
        (
            Grant("public", None, "ada", "pw"),
            {"grant_type": "password", "username": "ada", "password": "pw", "scope": "openid", "client_id": "public"},
            None,
        ),
    ],
)
async def test_so_does_a_clients_own_secret_and_a_client_without_one(
    sign_in: SignIn, grant: Grant, form: dict[str, str], basic: str | None
) -> None:
    tokens = OAuthTokens(sign_in.token_url, grant)
    assert await tokens() == "t1"
    await tokens.aclose()
    assert (sign_in.forms, sign_in.basics) == ([form], [basic])


async def test_a_token_is_kept_and_renewed_before_its_end(sign_in: SignIn, tokens: OAuthTokens, clock: Clock) -> None:
    assert [await tokens(), await tokens()] == ["t1", "t1"]
    clock.now += 269.0
    assert await tokens() == "t1"
    clock.now += 1.0  # 30 s before its end
    assert await tokens() == "t2"


@pytest.mark.parametrize(("life", "half"), [(10, 5.0), (None, 30.0), ("soon", 30.0), (-1, 30.0)])
async def test_a_short_life_is_halved_and_none_is_a_minute(
    sign_in: SignIn, tokens: OAuthTokens, clock: Clock, life: object, half: float
) -> None:
    sign_in.life = life
    assert await tokens() == "t1"
    clock.now += half - 0.5
    assert await tokens() == "t1"
    clock.now += 0.5
    assert await tokens() == "t2"


async def test_a_refresh_token_is_used_and_where_it_is_refused_the_login_begins_anew(
    sign_in: SignIn, tokens: OAuthTokens, clock: Clock
) -> None:
    sign_in.refresh = True
    await tokens()
    clock.now += 300
    assert await tokens() == "t2"
    assert sign_in.forms[1] == {"grant_type": "refresh_token", "refresh_token": "r1"}
    clock.now += 300
    sign_in.answers.append((400, {"error": "invalid_grant"}))
    assert await tokens() == "t4"
    assert [form["grant_type"] for form in sign_in.forms] == ["password", "refresh_token", "refresh_token", "password"]


async def test_one_request_serves_all_who_wait(sign_in: SignIn, tokens: OAuthTokens) -> None:
    sign_in.hold = asyncio.Event()
    asking = [asyncio.create_task(tokens()) for _ in range(20)]
    await sign_in.asked.wait()
    asking[0].cancel()  # the one that asks: another takes its place
    sign_in.hold.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert len(set(found[1:])) == 1
    assert len(sign_in.forms) <= 2


async def test_a_model_is_asked_with_the_token(sign_in: SignIn, hub: GuardedModel) -> None:
    assert (await hub.stream(question(), Heard())).text == "Hello from the hub."
    await hub.stream(question(), Heard())
    assert (sign_in.used, len(sign_in.forms)) == (["t1", "t1"], 1)


async def test_a_token_that_the_hub_refuses_is_renewed_once(sign_in: SignIn, hub: GuardedModel) -> None:
    await hub.stream(question(), Heard())
    sign_in.good.clear()
    assert (await hub.stream(question(), Heard())).text == "Hello from the hub."
    assert sign_in.used == ["t1", "t1", "t2"]


async def test_one_that_is_refused_again_is_a_refusal(sign_in: SignIn, hub: GuardedModel) -> None:
    sign_in.answers = [(200, {"access_token": "bad"}), (200, {"access_token": "bad too"})]
    with pytest.raises(ProviderRejected):
        await hub.stream(question(), Heard())
    assert (sign_in.used, len(sign_in.forms)) == (["bad", "bad too"], 2)


async def test_many_who_are_refused_at_once_have_one_token_made(sign_in: SignIn, hub: GuardedModel) -> None:
    await hub.stream(question(), Heard())
    sign_in.good.clear()
    await asyncio.gather(*(hub.stream(question(), Heard()) for _ in range(10)))
    assert len(sign_in.forms) == 2


async def test_a_sign_in_that_is_away_for_a_moment_is_tried_again(sign_in: SignIn, hub: GuardedModel) -> None:
    sign_in.answers = [(503, {}), (429, {})]
    assert (await hub.stream(question(), Heard())).text == "Hello from the hub."
    assert len(sign_in.forms) == 3


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        (401, {"error": "invalid_client"}, ProviderRejected),
        (400, {"error": "invalid_grant"}, ProviderRejected),
        (302, {}, ProviderRejected),
        (500, {}, TryAgain),
        (200, {}, ProviderProtocolError),
        (200, {"access_token": ""}, ProviderProtocolError),
        (200, {"access_token": "x\ny"}, ProviderProtocolError),
        (200, ["t1"], ProviderProtocolError),
        (200, {"access_token": "x" * (1 << 20)}, ProviderProtocolError),
    ],
)
async def test_what_is_no_token_is_told_by_its_kind(
    sign_in: SignIn, tokens: OAuthTokens, status: int, answer: object, kind: type[ProviderError]
) -> None:
    sign_in.answers.append((status, answer))
    with pytest.raises(kind):
        await tokens()


async def test_a_sign_in_that_hangs_or_is_not_there_is_unavailable(sign_in: SignIn) -> None:
    sign_in.hold = asyncio.Event()
    slow = OAuthTokens(sign_in.token_url, USER, seconds=0.05)
    with pytest.raises(ProviderUnavailable, match="in time"):
        await slow()
    sign_in.hold.set()
    await slow.aclose()
    nowhere = OAuthTokens("http://127.0.0.1:9/token", USER)
    with pytest.raises(TryAgain):
        await nowhere()
    await nowhere.aclose()


async def test_no_secret_gets_out(sign_in: SignIn, hub: GuardedModel, tokens: OAuthTokens) -> None:
    sign_in.answers.append((401, {"error": "invalid_grant", "error_description": "pass word is wrong, s:cr%t"}))
    with structlog.testing.capture_logs() as lines, pytest.raises(ProviderRejected) as failed:
        await hub.stream(question(), Heard())
    said = json.dumps(lines, default=str) + str(failed.value) + repr(failed.value.__cause__) + repr(USER)
    for secret in ("pass word", "s:cr", "127.0.0.1", sign_in.url, "ada is"):
        assert secret not in said


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://id.example/realms/hub/protocol/openid-connect/token", "/realms/hub/protocol/openid-connect/token"),
        ("https://id.example/oauth/token/", "/oauth/token"),
        ("https://id.example/auth/realms/hub/", "/auth/realms/hub/protocol/openid-connect/token"),
        ("https://id.example", "/realms/master/protocol/openid-connect/token"),
    ],
)
def test_a_realm_or_its_token_endpoint_may_be_named(url: str, found: str) -> None:
    assert str(token_url(url)) == f"https://id.example{found}"


@pytest.mark.parametrize("url", ["", "id.example", "ftp://id.example/token", "https://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="token URL"):
        token_url(url)
