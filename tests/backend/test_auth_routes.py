"""The account routes over HTTP, as a client sees them: behind the real middleware, over real databases."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from starlette.middleware import Middleware

from backend.routers import auth
from infrastructure.database.engine import Database
from infrastructure.error_handlers import install_error_handlers
from middleware.authentication import Admission, Authentication
from middleware.caller import Caller
from middleware.request_id import RequestId
from tests.services.account_parts import PASSWORD, CountingHash, Setup

ADA = {"username": "ada", "email": "ada@example.com", "password": PASSWORD}


class _NoFiles:
    async def delete_owner(self, owner: str) -> int:
        return 0


class Client:
    """Paths are below `/api/v1/auth/`."""

    def __init__(self, http: httpx.AsyncClient, setup: Setup, hasher: CountingHash) -> None:
        self.http = http
        self.setup = setup
        self.hasher = hasher

    async def send(self, method: str, path: str, json: Any = None, token: str = "", **more: Any) -> httpx.Response:
        headers = {"X-Request-ID": "r1"} | ({"Authorization": f"Bearer {token}"} if token else {})
        headers |= more.pop("headers", {})
        content = {} if json is None else {"json": json}
        return await self.http.request(method, f"/api/v1/auth/{path}", headers=headers, **content, **more)

    async def register(self, **other: Any) -> dict[str, Any]:
        response = await self.send("POST", "register", ADA | other)
        assert response.status_code == 201, response.text
        return dict(response.json())

    async def login(self, username: str = "ada", password: str = PASSWORD) -> dict[str, Any]:
        response = await self.send("POST", "login", {"username": username, "password": password})
        assert response.status_code == 200, response.text
        return dict(response.json())


@pytest_asyncio.fixture
async def client(database: Database) -> AsyncIterator[Client]:
    hasher = CountingHash()
    setup = Setup(database, hasher)
    app = FastAPI(
        middleware=[
            Middleware(RequestId),
            Middleware(Caller, trusted_proxies=()),
            Middleware(Authentication, accounts=lambda _: setup.accounts),
            Middleware(Admission, required=False, on_error=lambda _: None),
        ]
    )
    install_error_handlers(app, lambda _: None)
    app.include_router(auth.router)
    runner = SimpleNamespace(abandon_owner=setup.abandoned.append)
    app.state.container = SimpleNamespace(accounts=setup.accounts, runner=runner, files=_NoFiles())
    transport = httpx.ASGITransport(app, client=("192.0.2.1", 5))
    async with httpx.AsyncClient(transport=transport, base_url="http://service.test") as http:
        yield Client(http, setup, hasher)
    await setup.accounts.close()


def refused(response: httpx.Response, status: int, kind: str) -> None:
    assert (response.status_code, response.json()["type"], response.json()["code"]) == (status, kind, status)


async def test_register_answers_with_the_user_and_nothing_of_the_password(client: Client) -> None:
    response = await client.send("POST", "register", ADA | {"fullname": "Ada Lovelace"})
    assert response.status_code == 201
    user = response.json()
    assert UUID(user.pop("id")).version == 7
    assert user.pop("created_at").endswith("Z")
    assert user == {
        "username": "ada", "email": "ada@example.com", "fullname": "Ada Lovelace", "is_active": True, "is_admin": False,
    }  # fmt: skip
    assert PASSWORD not in response.text


async def test_what_else_is_sent_to_register_counts_for_nothing(client: Client) -> None:
    mine = str(uuid4())
    user = await client.register(
        is_admin=True, is_active=False, id=mine, user_id=mine, role="admin", password_hash="x", created_at="2000-01-01"
    )
    assert (user["is_admin"], user["is_active"], user["fullname"]) == (False, True, None)
    assert user["id"] != mine
    assert not user["created_at"].startswith("2000")
    token = (await client.login())["access_token"]
    assert (await client.send("GET", "me", token=token)).json() == user


@pytest.mark.parametrize(
    "wrong",
    [
        {"username": "ab"}, {"username": "a" * 51}, {"username": "a b"}, {"username": "ada\0"}, {"username": 7},
        {"username": None}, {"username": "a\u202eda"}, {"email": "ada"}, {"email": "canary@"}, {"email": None},
        {"email": "a\0@example.com"}, {"email": f"{'a' * 300}@example.com"}, {"password": "canary7"},
        {"password": "x" * 201}, {"password": "eight\0chars"}, {"password": 12345678}, {"password": None},
        {"fullname": "canary\0"}, {"fullname": "x" * 201}, {"fullname": 7},
    ],
    ids=str,
)  # fmt: skip
async def test_what_cannot_be_an_account_is_named_and_not_echoed(client: Client, wrong: dict[str, Any]) -> None:
    response = await client.send("POST", "register", ADA | wrong)
    refused(response, 422, "validation_error")
    assert [problem["loc"] for problem in response.json()["errors"]] == [["body", next(iter(wrong))]]
    assert PASSWORD not in response.text
    assert "canary" not in response.text


@pytest.mark.parametrize("field", ["username", "email", "password", "fullname"])
async def test_lone_surrogates_are_refused_in_every_field(client: Client, field: str) -> None:
    fields = "".join(f'"{name}": "{value}", ' for name, value in ADA.items() if name != field)
    body = f'{{{fields}"{field}": "aaaaaaaa\\ud800"}}'
    response = await client.send("POST", "register", content=body, headers={"Content-Type": "application/json"})
    refused(response, 422, "validation_error")


@pytest.mark.parametrize("password", ["x" * 8, "x" * 200, "é" * 200, "😀" * 8, " " * 8, "\n\t\x01\x02\x03\x04\x05\x06"])
async def test_any_password_of_eight_to_two_hundred_characters_will_do(client: Client, password: str) -> None:
    await client.register(password=password)
    assert await client.login(password=password)


async def test_passwords_of_72_and_73_bytes_differ(client: Client) -> None:
    await client.register(password="x" * 72)
    response = await client.send("POST", "login", {"username": "ada", "password": "x" * 73})
    refused(response, 401, "unauthorized")
    assert await client.login(password="x" * 72)


async def test_a_password_has_the_form_in_which_it_was_sent(client: Client) -> None:
    await client.register(password="caf\u00e9 noir")
    refused(await client.send("POST", "login", {"username": "ada", "password": "cafe\u0301 noir"}), 401, "unauthorized")


@pytest.mark.parametrize("other", [{"email": "b@example.com"}, {"username": "bob", "email": "Ada@Example.COM"}])
async def test_a_duplicate_is_a_conflict_that_does_not_say_of_which(client: Client, other: dict[str, str]) -> None:
    await client.register()
    response = await client.send("POST", "register", ADA | other)
    refused(response, 409, "conflict")
    assert response.json()["detail"] == "This user name or email address is taken."


async def test_of_two_who_register_at_once_one_is_told(client: Client) -> None:
    done = await asyncio.gather(*(client.send("POST", "register", ADA) for _ in range(2)))
    assert sorted(response.status_code for response in done) == [201, 409]


async def test_login_by_json_and_by_form_give_the_same_kind_of_answer(client: Client) -> None:
    await client.register()
    form = {"grant_type": "password", "username": "ada", "password": PASSWORD, "scope": "", "client_id": "x"}
    answers = [
        await client.send("POST", "login", {"username": "ADA", "password": PASSWORD}),
        await client.send("POST", "token", data=form),
        await client.send("POST", "token", data={"username": "ada", "password": PASSWORD}),
    ]
    for response in answers:
        assert response.status_code == 200, response.text
        assert response.headers["Cache-Control"] == "no-store"
        body = response.json()
        assert set(body) == {"access_token", "token_type", "expires_in", "refresh_token"}
        assert (body["token_type"], body["expires_in"]) == ("bearer", 1800)
        assert (await client.send("GET", "me", token=body["access_token"])).json()["username"] == "ada"


@pytest.mark.parametrize(
    "form",
    [{"username": "ada"}, {}, {"username": "ada", "password": PASSWORD, "grant_type": "refresh_token"},
     {"username": "a\0", "password": PASSWORD}],
)  # fmt: skip
async def test_a_form_that_is_none_is_refused(client: Client, form: dict[str, str]) -> None:
    refused(await client.send("POST", "token", data=form), 422, "validation_error")


async def test_unknown_user_and_wrong_password_get_the_same_bytes_for_the_same_work(client: Client) -> None:
    await client.register()
    wrong = await client.send("POST", "login", {"username": "ada", "password": "wrong password"})
    client.hasher.verified = 0
    unknown = await client.send("POST", "login", {"username": "nobody", "password": PASSWORD})
    form = await client.send("POST", "token", data={"username": "nobody", "password": "x"})
    assert client.hasher.verified == 2
    refused(wrong, 401, "unauthorized")
    assert wrong.content == unknown.content == form.content
    assert dict(wrong.headers) == dict(unknown.headers) == dict(form.headers)


async def test_fifty_wrong_logins_are_stopped_whatever_forwarding_header_they_make_up(client: Client) -> None:
    await client.register()
    answers = []
    for n in range(50):
        headers = {
            "X-Forwarded-For": f"203.0.113.{n}",
            "Forwarded": f"for=203.0.113.{n}",
            "X-Real-IP": f"203.0.113.{n}",
        }
        body = {"username": "ada" if n % 2 else f"user{n}", "password": f"wrong password {n}"}
        answers.append(await client.send("POST", "login", body, headers=headers))
    looked_at = [response.status_code for response in answers].count(401)
    assert {response.status_code for response in answers[:20]} == {401}
    assert looked_at <= 22  # 20, and what the turn of a window lets pass
    refused(answers[-1], 429, "rate_limited")
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 300
    refused(await client.send("POST", "token", data={"username": "ada", "password": PASSWORD}), 429, "rate_limited")
    assert client.hasher.verified == looked_at


async def test_refresh_rotates_and_a_token_used_twice_ends_the_login(client: Client) -> None:
    await client.register()
    first = await client.login()
    second = (await client.send("POST", "refresh", {"refresh_token": first["refresh_token"]})).json()
    assert set(second) == set(first)
    again = await client.send("POST", "refresh", {"refresh_token": first["refresh_token"]})
    refused(again, 401, "unauthorized")
    for dead in (first, second):
        refused(await client.send("GET", "me", token=dead["access_token"]), 401, "unauthorized")
        same = await client.send("POST", "refresh", {"refresh_token": dead["refresh_token"]})
        assert same.content == again.content
    assert (await client.send("POST", "refresh", {"refresh_token": "never was"})).content == again.content


async def test_a_refresh_token_is_no_access_token_nor_the_other_way_round(client: Client) -> None:
    await client.register()
    tokens = await client.login()
    refused(await client.send("GET", "me", token=tokens["refresh_token"]), 401, "unauthorized")
    wrong = await client.send("POST", "refresh", {"refresh_token": tokens["access_token"]})
    refused(wrong, 401, "unauthorized")


@pytest.mark.parametrize("body", [{}, {"refresh_token": ""}, {"refresh_token": None}, {"refresh_token": "a\0"}, []])
async def test_a_refresh_without_a_token_is_refused(client: Client, body: Any) -> None:
    refused(await client.send("POST", "refresh", body), 422, "validation_error")


async def test_logout_ends_the_login_that_is_shown(client: Client) -> None:
    await client.register()
    one, other = await client.login(), await client.login()
    response = await client.send("POST", "logout", token=one["access_token"])
    assert (response.status_code, response.content) == (204, b"")
    refused(await client.send("GET", "me", token=one["access_token"]), 401, "unauthorized")
    refused(await client.send("POST", "refresh", {"refresh_token": one["refresh_token"]}), 401, "unauthorized")
    assert (await client.send("GET", "me", token=other["access_token"])).status_code == 200


async def test_logout_takes_a_refresh_token_instead(client: Client) -> None:
    await client.register()
    tokens = await client.login()
    refused(await client.send("POST", "logout"), 401, "unauthorized")
    refused(await client.send("POST", "logout", {}), 401, "unauthorized")
    gone = await client.send("POST", "logout", {"refresh_token": tokens["refresh_token"]})
    never = await client.send("POST", "logout", {"refresh_token": "never was"})
    assert (gone.status_code, never.status_code) == (204, 204)
    refused(await client.send("GET", "me", token=tokens["access_token"]), 401, "unauthorized")


async def test_a_changed_password_ends_the_other_logins(client: Client) -> None:
    await client.register()
    one, other = await client.login(), await client.login()
    body = {"old_password": "wrong password", "new_password": "another password"}
    refused(await client.send("POST", "change-password", body, one["access_token"]), 401, "unauthorized")
    body["old_password"] = PASSWORD
    refused(await client.send("POST", "change-password", body), 401, "unauthorized")
    done = await client.send("POST", "change-password", body, one["access_token"])
    assert (done.status_code, done.json()) == (200, {"message": "The password is changed."})
    assert (await client.send("GET", "me", token=one["access_token"])).status_code == 200
    refused(await client.send("GET", "me", token=other["access_token"]), 401, "unauthorized")
    assert await client.login(password="another password")
    short = {"old_password": "another password", "new_password": "short"}
    refused(await client.send("POST", "change-password", short, one["access_token"]), 422, "validation_error")


async def test_a_deleted_account_is_gone_with_its_tokens_and_keys(client: Client) -> None:
    user = await client.register()
    token = (await client.login())["access_token"]
    key = (await client.send("POST", "api-keys", {"name": "report"}, token)).json()["key"]
    refused(await client.send("DELETE", "me"), 401, "unauthorized")
    assert (await client.send("DELETE", "me", token=token)).status_code == 204
    assert client.setup.abandoned == [user["id"]]
    for shown in (token, key):
        refused(await client.send("GET", "me", token=shown), 401, "unauthorized")
    body = {"username": "ada", "password": PASSWORD}
    refused(await client.send("POST", "login", body), 401, "unauthorized")
    await client.register()


async def test_an_api_key_is_shown_once_and_lets_in_by_either_header(client: Client) -> None:
    user = await client.register()
    token = (await client.login())["access_token"]
    made = await client.send("POST", "api-keys", {"name": "report", "user_id": str(uuid4())}, token)
    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    key = made.json()
    assert set(key) == {"id", "name", "key", "prefix", "created_at"}
    assert key["key"].startswith(key["prefix"])
    listed = await client.send("GET", "api-keys", token=token)
    assert key["key"] not in listed.text
    shown = {name: key[name] for name in ("id", "name", "prefix", "created_at")}
    assert listed.json() == {"items": [shown | {"last_used_at": None}], "total": 1}
    by_bearer = await client.send("GET", "me", token=key["key"])
    by_header = await client.send("GET", "me", headers={"X-API-Key": key["key"]})
    assert by_bearer.json() == by_header.json() == user
    await client.setup.accounts.close()
    (item,) = (await client.send("GET", "api-keys", token=token)).json()["items"]
    assert item["last_used_at"].endswith("Z")
    assert (await client.send("DELETE", f"api-keys/{key['id']}", token=token)).status_code == 204
    refused(await client.send("GET", "me", token=key["key"]), 401, "unauthorized")


async def test_a_foreign_key_is_answered_as_one_that_never_was(client: Client) -> None:
    await client.register()
    await client.register(username="bob", email="bob@example.com")
    mine, theirs = [(await client.login(name))["access_token"] for name in ("ada", "bob")]
    key = (await client.send("POST", "api-keys", {"name": "report"}, theirs)).json()
    foreign = await client.send("DELETE", f"api-keys/{key['id']}", token=mine)
    never = await client.send("DELETE", f"api-keys/{uuid4()}", token=mine)
    refused(foreign, 404, "not_found")
    assert foreign.content == never.content
    assert (await client.send("GET", "api-keys", token=mine)).json() == {"items": [], "total": 0}
    assert (await client.send("GET", "me", token=key["key"])).json()["username"] == "bob"


@pytest.mark.parametrize("name", ["", "x" * 101, "a\0b", None, 7])
async def test_a_key_needs_a_name(client: Client, name: Any) -> None:
    await client.register()
    token = (await client.login())["access_token"]
    refused(await client.send("POST", "api-keys", {"name": name}, token), 422, "validation_error")


async def test_an_id_that_is_none_is_refused(client: Client) -> None:
    await client.register()
    token = (await client.login())["access_token"]
    refused(await client.send("DELETE", "api-keys/1", token=token), 422, "validation_error")


@pytest.mark.parametrize(("method", "path"), [("GET", "me"), ("GET", "api-keys"), ("POST", "api-keys")])
async def test_what_is_a_users_needs_a_user(client: Client, method: str, path: str) -> None:
    refused(await client.send(method, path, {"name": "report"}), 401, "unauthorized")
