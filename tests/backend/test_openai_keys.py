"""Keys below /v1: OpenAI's clients always send one, and where none is needed it is made up."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from services.principals import ANONYMOUS
from tests.middleware.asgi import Answer
from tests.middleware.test_authentication import ALICE, BOB, JWT, Service

PATH = "/v1/chat/completions"
MADE_UP = ["sk-dummy", "sk-proj-abc_DEF", "not-needed", "x", "EMPTY", "a.b", "a.b.c.d", "", "ASK_bob"]
LIKE_OURS = ["ask_nobody", "ask_", "eyJhbGciOiJIUzI1NiJ9.e30.bad", "a.b.c", ".."]


async def get(service: Service, path: str, *values: str, key: str | None = None) -> Answer:
    headers: Iterable[tuple[str, str]] = [("Authorization", f"Bearer {value}") for value in values]
    return await service.get(path, headers=[*headers, *([("X-API-Key", key)] if key is not None else [])])


def refused(answer: Answer, status: int, code: str) -> Any:
    assert answer.status == status
    error = json.loads(answer.body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, None)
    return error


@pytest.mark.parametrize("value", MADE_UP)
async def test_a_made_up_key_is_nobodys(value: str) -> None:
    service = Service()
    assert (await get(service, PATH, value)).status == 200
    assert service.principal == ANONYMOUS
    assert service.accounts.asked == []


@pytest.mark.parametrize("value", LIKE_OURS)
async def test_one_that_looks_like_ours_and_is_wrong_is_refused(value: str) -> None:
    answer = await get(Service(), PATH, value)
    assert refused(answer, 401, "invalid_api_key")["type"] == "invalid_request_error"
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("value", "principal"), [(JWT, ALICE), ("ask_bob", BOB)])
async def test_one_of_ours_says_who_asks(value: str, principal: Any) -> None:
    service = Service()
    assert (await get(service, PATH, value)).status == 200
    assert service.principal == principal


async def test_a_key_of_ours_counts_beside_a_made_up_one() -> None:
    service = Service()
    assert (await get(service, PATH, "sk-dummy", key="ask_bob")).status == 200
    assert service.principal == BOB
    refused(await get(service, PATH, JWT, key="ask_bob"), 401, "invalid_api_key")


@pytest.mark.parametrize("value", [*MADE_UP, *LIKE_OURS])
async def test_where_sign_in_is_required_a_made_up_key_is_refused(value: str) -> None:
    refused(await get(Service(required=True), PATH, value), 401, "invalid_api_key")


@pytest.mark.parametrize("path", ["/ask", "/v1x", "/v2/ask", "/api/v1/chats", "//v1/models"])
async def test_elsewhere_a_made_up_key_is_a_wrong_one(path: str) -> None:
    answer = await get(Service(), path, "sk-dummy")
    assert answer.status == 401
    assert "detail" in json.loads(answer.body)


async def test_who_asks_too_often_is_told_in_openais_shape() -> None:
    service = Service(requests=1)
    await get(service, PATH, "sk-dummy")
    answer = await get(service, PATH, "sk-dummy")
    assert refused(answer, 429, "rate_limit_exceeded")["type"] == "rate_limit_error"
    assert int(answer.headers["retry-after"]) > 0
