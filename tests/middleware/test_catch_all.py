"""What nobody expected is told without its inside."""

import json

import pytest
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from middleware.catch_all import CatchAll
from tests.middleware.asgi import ask, plain, scope_of


async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("/secret/path sk-canary")


async def breaks_late(scope: Scope, receive: Receive, send: Send) -> None:
    await plain(scope, receive, send)
    raise RuntimeError("late")


async def test_an_error_becomes_a_500_that_says_nothing_of_the_inside() -> None:
    errors: list[str] = []
    with capture_logs() as lines:
        answer = await ask(CatchAll(breaks, errors.append), scope_of(request_id="r1"))
    assert answer.status == 500
    assert json.loads(answer.body) == {
        "detail": "Something went wrong inside the service.", "type": "internal_error", "code": 500,
        "request_id": "r1",
    }  # fmt: skip
    assert errors == ["internal_error"]
    assert [(line["event"], line["error"]) for line in lines] == [("request failed", "RuntimeError")]


async def test_an_answer_that_was_begun_breaks_off() -> None:
    with pytest.raises(RuntimeError, match="late"), capture_logs():
        await ask(CatchAll(breaks_late, [].append))


async def test_what_works_is_left_alone() -> None:
    assert (await ask(CatchAll(plain, [].append))).body == b"fine"


async def test_websockets_have_their_own_edge() -> None:
    with pytest.raises(RuntimeError):
        await ask(CatchAll(breaks, [].append), scope_of(kind="websocket"))
