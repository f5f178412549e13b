"""Who asks is found from what they show, and counted before a bad credential is turned down."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from middleware.authentication import OPERATIONS, Admission, Authentication
from middleware.rate_limit import CallerLimit, RateLimit
from services.principals import ANONYMOUS, Principal
from tests.middleware.asgi import Answer, Seen, ask, scope_of
from tests.middleware.fake_accounts import FakeAccounts

ADDRESS = "203.0.113.7"
ALICE = Principal("u-alice", False, "login:f1", 2_000_000_000.0)
BOB = Principal("u-bob", True, "key:k1")
JWT = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"
GOOD = [("Authorization", f"Bearer {JWT}")]
BAD = [("Authorization", "Bearer canary")]
WAYS_IN = [f"/api/v1/auth/{name}" for name in ("register", "login", "token", "refresh")]
OPEN = ["/health", "/health/live", "/health/ready", "/docs", "/openapi.json", "/static/page.js", "/", *WAYS_IN]
NOT_OPEN = [
    "/ask", "/nowhere", "/health/", "/health/x", "/healthy", "/docs/", "/static", "/statics/x", "//health", "/HEALTH",
    "/api/v1/auth/me", "/api/v1/auth/logout", "/api/v1/auth/login/", "/api/v1/auth/login/x", "/api/v1/chats",
    "/ws/schema", "/metrics/", "/runs/1/events", "/x/static/page.js", "",
]  # fmt: skip


class Service:
    """The middlewares in the order of the application."""

    def __init__(self, required: bool = False, requests: int = 100) -> None:
        self.accounts = FakeAccounts(**{JWT: ALICE, "ask_bob": BOB})
        self.limit = CallerLimit(requests, 60)
        self.errors: list[str] = []
        self.seen = Seen()
        inside = Admission(self.seen, required, self.errors.append)
        limited = RateLimit(inside, self.limit, self.errors.append)
        self.app = Authentication(limited, lambda scope: scope["accounts"])

    async def get(self, path: str = "/ask", headers: Iterable[tuple[str, str]] = (), method: str = "GET") -> Answer:
        scope = scope_of(path, method=method, headers=headers, caller=ADDRESS, request_id="r1")
        return await ask(self.app, scope | {"accounts": self.accounts})

    @property
    def principal(self) -> Any:
        return self.seen.scopes[-1]["state"]["principal"]


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def closed() -> Service:
    return Service(required=True)


@pytest.mark.parametrize(
    ("headers", "principal"),
    [
        (GOOD, ALICE),
        ([("Authorization", f"bearer   {JWT} ")], ALICE),
        ([("Authorization", "Bearer ask_bob")], BOB),
        ([("X-API-Key", "ask_bob")], BOB),
        ([("X-API-Key", "ask_bob"), ("Authorization", "Bearer ask_bob")], BOB),
        ([("X-API-Key", "ask_bob"), ("Authorization", "Basic YTpi")], BOB),
    ],
)
async def test_a_token_or_a_key_says_who_asks(
    service: Service, headers: list[tuple[str, str]], principal: Principal
) -> None:
    assert (await service.get(headers=headers)).status == 200
    assert service.principal == principal
    assert len(service.accounts.asked) == 1


@pytest.mark.parametrize(
    "headers", [[], [("Authorization", "Basic YTpi")], [("Authorization", "")], [("Cookie", f"token={JWT}")]]
)
async def test_who_shows_nothing_is_anonymous_and_nothing_is_looked_up(
    service: Service, headers: list[tuple[str, str]]
) -> None:
    assert (await service.get(headers=headers)).status == 200
    assert service.principal is ANONYMOUS
    assert service.accounts.asked == []


@pytest.mark.parametrize(
    ("headers", "looked_up"),
    [
        (BAD, True),
        ([("X-API-Key", "ask_nobody")], True),
        ([("Authorization", "Bearer")], False),
        ([("Authorization", "Bearer ")], False),
        ([("Authorization", f"Bearer {JWT} {JWT}")], False),
        ([("Authorization", "Bearer " + "a" * 4097)], False),
        ([("Authorization", "Bearer caf\xe9")], False),
        ([("Authorization", "Bearer a\0b")], False),
        ([("X-API-Key", "")], False),
        ([("X-API-Key", JWT)], False),
        ([*GOOD, ("X-API-Key", "ask_bob")], False),
        ([*GOOD, *BAD], False),
    ],
)
@pytest.mark.parametrize("required", [False, True])
async def test_a_bad_credential_is_told_in_the_one_shape(
    headers: list[tuple[str, str]], looked_up: bool, required: bool
) -> None:
    service = Service(required)
    answer = await service.get(headers=headers)
    assert json.loads(answer.body) == {
        "detail": "This token is not valid.", "type": "unauthorized", "code": 401, "request_id": "r1",
    }  # fmt: skip
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert service.errors == ["unauthorized"]
    assert bool(service.accounts.asked) == looked_up
    assert service.seen.scopes == []


@pytest.mark.parametrize("headers", [[], GOOD, BAD])
@pytest.mark.parametrize("path", OPEN)
async def test_open_pages_are_for_everybody_whatever_is_shown(
    closed: Service, path: str, headers: list[tuple[str, str]]
) -> None:
    assert (await closed.get(path, headers)).status == 200
    assert closed.principal is ANONYMOUS
    assert closed.accounts.asked == []


@pytest.mark.parametrize("path", sorted(OPERATIONS))
async def test_operations_pages_have_their_own_rule_and_yet_know_who_asks(closed: Service, path: str) -> None:
    assert (await closed.get(path)).status == 200
    assert (await closed.get(path, BAD)).status == 200  # it may be the operations token
    assert closed.principal is ANONYMOUS
    assert (await closed.get(path, GOOD)).status == 200
    assert closed.principal == ALICE


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD", "NONSENSE"])
@pytest.mark.parametrize("path", NOT_OPEN)
async def test_where_sign_in_is_required_every_other_path_needs_it(closed: Service, path: str, method: str) -> None:
    answer = await closed.get(path, method=method)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert json.loads(answer.body)["detail"] == "Sign in first."
    assert closed.seen.scopes == []
    assert (await closed.get(path, GOOD, method)).status == 200


async def test_a_database_that_does_not_answer_is_503_and_not_the_callers_fault(service: Service) -> None:
    for failure in (OperationalError("SELECT canary", {}, Exception()), ConnectionRefusedError("canary")):
        service.accounts.failure = failure
        answer = await service.get(headers=GOOD)
        body = json.loads(answer.body)
        assert (answer.status, body["type"], answer.headers["retry-after"]) == (503, "storage_unavailable", "1")
        assert "www-authenticate" not in answer.headers
        assert b"canary" not in answer.body
    assert (await service.get("/metrics", GOOD)).status == 200
    assert (await service.get()).status == 200


async def test_a_signed_in_users_requests_count_for_the_user_wherever_they_come_from(service: Service) -> None:
    await service.get(headers=GOOD)
    await service.get(headers=[("X-API-Key", "ask_bob")])
    await service.get(headers=GOOD)
    left = [(await service.limit.look(name)).remaining for name in ("user:u-alice", "user:u-bob", ADDRESS)]
    assert left == [98, 99, 100]


async def test_bad_credentials_count_for_the_address_until_there_are_too_many() -> None:
    service = Service(requests=3)
    answers = [await service.get(headers=[("X-API-Key", f"ask_{n}")]) for n in range(5)]
    assert [answer.status for answer in answers] == [401, 401, 401, 429, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0", "0"]
    assert (await service.get()).status == 429
    assert (await service.get(headers=GOOD)).status == 200  # who has an account is not locked out by a neighbour


async def test_a_way_in_counts_for_the_address_whoever_tries_it() -> None:
    service = Service(requests=2)
    statuses = [(await service.get("/api/v1/auth/login", GOOD, "POST")).status for _ in range(3)]
    assert statuses == [200, 200, 429]


async def test_sockets_and_other_scopes_pass_untouched(closed: Service) -> None:
    socket = scope_of(kind="websocket", headers=BAD)
    await ask(closed.app, socket)
    await ask(closed.app, {"type": "lifespan"})
    assert [scope["type"] for scope in closed.seen.scopes] == ["websocket", "lifespan"]
    assert socket["state"] == {}
