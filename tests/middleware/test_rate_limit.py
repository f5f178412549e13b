"""So many requests a minute for each caller, said in headers."""

import json
import time

import pytest

from infrastructure.errors import RateLimited
from middleware.rate_limit import CallerLimit, RateLimit
from tests.middleware.asgi import Answer, Seen, ask, scope_of


class Limited:
    def __init__(self, requests: int = 2) -> None:
        self.errors: list[str] = []
        self.limit = CallerLimit(requests, 60)
        self.app = RateLimit(Seen(), self.limit, self.errors.append)

    async def get(self, path: str = "/ask", caller: str = "203.0.113.7") -> Answer:
        return await ask(self.app, scope_of(path, caller=caller, request_id="r1"))


@pytest.fixture
def limited() -> Limited:
    return Limited()


async def test_each_answer_says_what_is_left(limited: Limited) -> None:
    first, second = await limited.get(), await limited.get()
    assert [answer.headers["x-ratelimit-remaining"] for answer in (first, second)] == ["1", "0"]
    assert first.headers["x-ratelimit-limit"] == "2"
    assert 0 < int(first.headers["x-ratelimit-reset"]) - time.time() < 125


async def test_over_the_limit_is_429_and_says_when_to_come_again(limited: Limited) -> None:
    for _ in range(2):
        assert (await limited.get()).status == 200
    answer = await limited.get()
    assert answer.status == 429
    assert json.loads(answer.body) == {
        "detail": "Too many requests.", "type": "rate_limited", "code": 429, "request_id": "r1",
    }  # fmt: skip
    assert 1 <= int(answer.headers["retry-after"]) <= 121
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert limited.errors == ["rate_limited"]
    assert limited.limit.refused == 1


async def test_each_caller_has_a_limit_of_its_own(limited: Limited) -> None:
    for _ in range(3):
        await limited.get()
    assert (await limited.get(caller="198.51.100.1")).status == 200


@pytest.mark.parametrize("path", ["/health", "/health/live", "/metrics", "/static/page.js"])
async def test_health_metrics_and_files_of_the_page_do_not_count(limited: Limited, path: str) -> None:
    for _ in range(5):
        answer = await limited.get(path)
        assert answer.status == 200
        assert "headers" not in answer.messages[0]
    assert (await limited.limit.look("203.0.113.7")).remaining == 2


async def test_questions_over_a_websocket_count_with_the_requests(limited: Limited) -> None:
    await limited.get()
    await limited.limit.require("203.0.113.7")
    with pytest.raises(RateLimited) as refused:
        await limited.limit.require("203.0.113.7")
    assert refused.value.retry_after is not None
    assert 1 <= refused.value.retry_after <= 121
    assert (await limited.get()).status == 429
    assert limited.limit.refused == 2


async def test_a_look_does_not_count(limited: Limited) -> None:
    for _ in range(5):
        assert (await limited.limit.look("a")).remaining == 2
    assert (await limited.limit.look("a")).allowed


async def test_frames_and_other_scopes_pass(limited: Limited) -> None:
    for _ in range(5):
        await ask(limited.app, scope_of(kind="websocket"))
    await ask(limited.app, {"type": "lifespan"})
