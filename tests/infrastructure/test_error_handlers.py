"""Errors become responses of one shape, with nothing of the inside and nothing of what was sent."""

from collections.abc import Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from infrastructure.error_handlers import MAX_PROBLEMS, install_error_handlers, retry_after_header
from infrastructure.errors import (
    AskGraphError,
    Conflict,
    InvalidInput,
    KnowledgeError,
    NotFound,
    PayloadTooLarge,
    ProviderProtocolError,
    ProviderRejected,
    ProviderUnavailable,
    RateLimited,
    ShuttingDown,
)
from middleware.request_id import RequestId


class Body(BaseModel):
    text: Annotated[str, Field(max_length=3)]
    numbers: list[int] = []


class Service:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.error: Exception = AskGraphError("x")
        self.app = FastAPI(middleware=[Middleware(RequestId)])
        install_error_handlers(self.app, self.told.append)
        self.app.get("/error")(self._fail)
        self.app.post("/body")(self._body)
        self.app.get("/query")(self._query)

    async def _fail(self) -> None:
        raise self.error

    async def _body(self, body: Body) -> str:
        return body.text

    async def _query(self, limit: Annotated[int, Query(ge=1)]) -> int:
        return limit

    async def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service.test") as client:
            return await client.request(method, path, headers={"X-Request-ID": "r1"}, **request)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.mark.parametrize(
    ("make", "status", "kind"),
    [
        (InvalidInput, 422, "validation_error"),
        (NotFound, 404, "not_found"),
        (Conflict, 409, "conflict"),
        (RateLimited, 429, "rate_limited"),
        (PayloadTooLarge, 413, "payload_too_large"),
        (ShuttingDown, 503, "shutting_down"),
        (ProviderUnavailable, 503, "provider_unavailable"),
        (ProviderProtocolError, 502, "provider_protocol_error"),
        (ProviderRejected, 503, "provider_unavailable"),
        (KnowledgeError, 500, "knowledge_error"),
        (AskGraphError, 500, "internal_error"),
    ],
)
async def test_each_kind_has_its_status(
    service: Service, make: Callable[[str], AskGraphError], status: int, kind: str
) -> None:
    service.error = make("What is wrong.")
    answer = await service.ask("GET", "/error")
    body = answer.json()
    assert body.pop("errors", None) == (
        [{"loc": ["body"], "msg": "What is wrong."}] if kind == "validation_error" else None
    )
    assert body == {"detail": "What is wrong.", "type": kind, "code": status, "request_id": "r1"}
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert service.told == [kind]


async def test_when_to_come_again_is_said(service: Service) -> None:
    service.error = RateLimited("Too many.", retry_after=1.2)
    assert (await service.ask("GET", "/error")).headers["retry-after"] == "2"
    assert retry_after_header(None) == {}
    assert retry_after_header(-5.0) == retry_after_header(0.1) == {"Retry-After": "1"}


async def test_an_invalid_body_says_where_and_never_what(service: Service) -> None:
    answer = await service.ask("POST", "/body", json={"text": "canary", "numbers": [1, "canary"]})
    assert answer.status_code == 422
    body = answer.json()
    assert [problem["loc"] for problem in body["errors"]] == [["body", "text"], ["body", "numbers", 1]]
    assert all(set(problem) == {"loc", "msg"} for problem in body["errors"])
    assert body["detail"].startswith("body.text: ")
    assert (body["type"], body["code"], body["request_id"]) == ("validation_error", 422, "r1")
    assert "canary" not in answer.text


@pytest.mark.parametrize("content", [b"", b"{", b'{"text": "canary', b"\xff\xfe", b"[" * 500])
async def test_a_body_that_is_no_json_is_a_422(service: Service, content: bytes) -> None:
    answer = await service.ask("POST", "/body", content=content)
    assert answer.status_code in (400, 422)
    assert set(answer.json()) >= {"detail", "type", "code", "request_id"}
    assert "canary" not in answer.text


async def test_only_so_many_problems_are_told(service: Service) -> None:
    answer = await service.ask("POST", "/body", json={"text": "a", "numbers": ["x"] * 1000})
    assert len(answer.json()["errors"]) == MAX_PROBLEMS


async def test_a_wrong_query_is_a_422(service: Service) -> None:
    answer = await service.ask("GET", "/query?limit=canary")
    assert answer.json()["errors"][0]["loc"] == ["query", "limit"]
    assert "canary" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [("GET", "/nothing/canary", 404, "not_found"), ("DELETE", "/error", 405, "method_not_allowed")],
)
async def test_what_the_framework_refuses_has_the_same_shape(
    service: Service, method: str, path: str, status: int, kind: str
) -> None:
    answer = await service.ask(method, path)
    body = answer.json()
    assert (answer.status_code, body["type"], body["code"]) == (status, kind, status)
    assert "canary" not in answer.text
    assert service.told == [kind]


@pytest.mark.parametrize(("status", "kind"), [(418, "error"), (503, "unavailable"), (401, "unauthorized")])
async def test_a_status_keeps_its_headers_and_gets_its_kind(service: Service, status: int, kind: str) -> None:
    service.error = HTTPException(status, "Detail.", {"X-More": "yes"})
    answer = await service.ask("GET", "/error")
    assert (answer.status_code, answer.json()["type"], answer.headers["x-more"]) == (status, kind, "yes")
