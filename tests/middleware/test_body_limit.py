"""No body over the limit gets in, whatever its sender says of its length."""

import json
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from infrastructure.error_handlers import install_error_handlers
from middleware.body_limit import BodyLimit
from middleware.catch_all import CatchAll
from tests.middleware.asgi import Answer, Seen, ask, scope_of

LIMIT = 100


async def reads_all(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


async def post(chunks: list[bytes], app: Any = reads_all, **headers: str) -> tuple[Answer, list[str]]:
    errors: list[str] = []
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    answer = await ask(BodyLimit(app, LIMIT, errors.append), scope_of(method="POST", headers=named), chunks)
    return answer, errors


def is_refused(answer: Answer) -> bool:
    body = json.loads(answer.body)
    assert body == {
        "detail": "The request body is larger than 100 bytes.", "type": "payload_too_large", "code": 413,
        "request_id": "",
    }  # fmt: skip
    return answer.status == 413 and answer.headers["connection"] == "close"


@pytest.mark.parametrize("chunks", [[b"x" * 100], [b"x" * 50, b"x" * 50], [b""], [b"x", b"", b"x"]])
async def test_a_body_up_to_the_limit_gets_in(chunks: list[bytes]) -> None:
    answer, errors = await post(chunks)
    assert (answer.status, int(answer.body), errors) == (200, sum(map(len, chunks)), [])


async def test_a_body_that_says_it_is_too_long_is_not_read() -> None:
    app = Seen()
    answer, errors = await post([b"x"], app, content_length="101")
    assert is_refused(answer)
    assert (app.scopes, errors) == ([], ["payload_too_large"])


@pytest.mark.parametrize("length", ["-1", "1e3", "abc", "9" * 5000, "\u00b2", "+5", "0x10", " "])
async def test_a_length_that_is_none_is_refused(length: str) -> None:
    answer, _ = await post([b"x"], content_length=length)
    assert answer.status == 413


@pytest.mark.parametrize("headers", [{}, {"content_length": "5"}], ids=["chunked", "lying"])
async def test_a_body_that_grows_over_the_limit_is_refused_as_it_does(headers: dict[str, str]) -> None:
    answer, errors = await post([b"x" * 60, b"x" * 60, b"x" * 60], **headers)
    assert is_refused(answer)
    assert errors == ["payload_too_large"]


async def test_when_the_answer_has_begun_the_connection_breaks() -> None:
    async def answers_first(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await Request(scope, receive).body()

    with pytest.raises(Exception, match="larger than 100 bytes"):
        await post([b"x" * 101], answers_first)


class Body(BaseModel):
    text: str


@pytest.mark.parametrize("path", ["/model", "/raw"])
async def test_it_is_a_413_behind_fastapi_and_the_last_edge_too(path: str) -> None:
    errors: list[str] = []
    app = FastAPI(middleware=[Middleware(BodyLimit, LIMIT, errors.append), Middleware(CatchAll, errors.append)])
    install_error_handlers(app, errors.append)

    @app.post("/model")
    async def model(body: Body) -> str:
        return body.text

    @app.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    scope = scope_of(path, method="POST", headers=[("content-type", "application/json")])
    answer = await ask(app, scope, [b'{"text": "', b"x" * 200, b'"}'])
    assert is_refused(answer)
    assert errors == ["payload_too_large"]


async def answers_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads one piece of the body, if there is any to be had, and no more."""
    if Request(scope).headers.get("x-read"):
        await receive()
    await PlainTextResponse("no")(scope, receive, send)


async def post_larger(path: str, chunks: list[bytes], app: Any = reads_all, **headers: str) -> Answer:
    limited = BodyLimit(app, LIMIT, [].append, {"/large": 3 * LIMIT})
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return await ask(limited, scope_of(path, method="POST", headers=named), chunks)


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [("/large", 300, 200), ("/large", 301, 413), ("/large/", 101, 413), ("/LARGE", 101, 413), ("/other", 101, 413)],
)
async def test_a_path_may_have_a_limit_of_its_own(path: str, size: int, status: int) -> None:
    for headers in ({}, {"content_length": str(size)}):
        answer = await post_larger(path, [b"x" * 100, b"x" * (size - 100)], **headers)
        assert answer.status == status
        assert ("300" if path == "/large" else "100") in answer.body.decode()


@pytest.mark.parametrize(
    ("headers", "closes"),
    [
        ({"content_length": "200"}, True),
        ({"transfer_encoding": "chunked"}, True),
        ({"content_length": "200", "x_read": "1"}, True),
        ({"content_length": "0"}, False),
        ({}, False),
    ],
)
async def test_who_answers_there_in_mid_body_ends_the_connection(headers: dict[str, str], closes: bool) -> None:
    answer = await post_larger("/large", [b"x" * 100, b"x" * 100], answers_at_once, **headers)
    assert (answer.status, answer.body) == (200, b"no")
    assert (answer.headers.get("connection") == "close") is closes
    elsewhere = await post_larger("/", [b"x" * 10, b"x"], answers_at_once, **headers | {"content_length": "11"})
    assert "connection" not in elsewhere.headers


async def test_who_reads_the_whole_body_there_keeps_the_connection() -> None:
    answer = await post_larger("/large", [b"x" * 100, b"x" * 100], content_length="200")
    assert (answer.status, "connection" in answer.headers) == (200, False)


async def test_websockets_have_their_own_limit() -> None:
    app = Seen()
    await ask(BodyLimit(app, LIMIT, [].append), scope_of(kind="websocket", headers=[("content-length", "999")]))
    assert len(app.scopes) == 1
