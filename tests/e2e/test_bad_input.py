"""Bad input, sent to a service on SQLite and to one on PostgreSQL: refused in the one shape, and by both alike."""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from tests.databases import BOTH, migrated_url
from tests.e2e import bad_credentials
from tests.e2e.bad_requests import ADMIN_BODIES, BODIES, JSON, Bad, no_text, wrong_kinds, wrong_types
from tests.e2e.bad_values import accounts, kept_objects, older_fields, path_ids, queries, sizes
from tests.e2e.conftest import scripted_model
from tests.e2e.odd_values import FITTING, FRAMES, NOT_FOR_CLIENTS, PASSWORDS, TITLES
from tests.e2e.owners import People, Told, User, send, things_of, with_things
from tests.e2e.raw import exchange, head
from tests.e2e.route_table import AUTH, CHATS, PASSWORD, QUESTION
from tests.e2e.service import ROOT, Service, running
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
SECRET = "b7e1f0c2-4d5a-4c7e-9c58-1f2e3d4c5b6a"
TABLES = (no_text, wrong_kinds, wrong_types, path_ids, queries, sizes, older_fields, kept_objects, accounts)
GROUPS: dict[tuple[str, str], list[Bad]] = defaultdict(list)
for _table in TABLES:
    for _bad in _table():
        GROUPS[_table.__name__, _bad.method].append(_bad)
INSIDE = ("Traceback", "site-packages", "sqlalchemy", "asyncpg", "sqlite", "SELECT ", "INSERT ", "pydantic", str(ROOT))
SENT = (PASSWORD, QUESTION, "@example")


@dataclass
class Side:
    """A service on one kind of database, and a user there."""

    people: People
    user: User  # comes by an API key
    other: User

    @property
    def service(self) -> Service:
        return self.people.service


@dataclass
class Sides:
    """The same on both kinds."""

    all: tuple[Side, ...]

    async def told(self, bad: Bad) -> list[Told]:
        return list(await asyncio.gather(*(_told(side, bad) for side in self.all)))


async def _told(side: Side, bad: Bad, ids: dict[str, str] | None = None) -> Told:
    name = f"user-{uuid4().hex[:12]}"
    path, content, headers = bad.request((ids or side.user.ids) | {"name": name})
    return await send(side.user, bad.method, path, content=content, headers=headers)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sides(
    request: pytest.FixtureRequest, far_end: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Sides]:
    folders = [tmp_path_factory.mktemp(kind) for kind in BOTH]
    # What makes a PostgreSQL server has a loop of its own.
    urls = [await asyncio.to_thread(migrated_url, kind, request, folders[0]) for kind in BOTH]
    settings = [scripted_model(far_end) | {"DATABASE_URL": url, "SECRET_KEY": SECRET} for url in urls]
    async with (
        running(folders[0], settings[0]) as first, running(folders[1], settings[1]) as second,
        People(first) as some, People(second) as others,
    ):  # fmt: skip
        yield Sides(tuple(await asyncio.gather(_side(some), _side(others))))


async def _side(people: People) -> Side:
    user, other = [await with_things(await people.registered()) for _ in range(2)]
    names = [name for name in user.ids if name.endswith("_id")]
    spelt = {f"bare_{name}": user.ids[name].replace("-", "") for name in names}
    spelt |= {f"capitals_{name}": user.ids[name].upper() for name in names}
    ids = user.ids | spelt | {"USER": user.name.upper(), "access_token": token_of(user)}
    by_key = people.who_shows({"X-API-Key": user.ids["key"]}, user.name, **ids)
    return Side(people, by_key, other)


def token_of(user: User) -> str:
    return user.headers["Authorization"].partition(" ")[2]


def refused(told: Told) -> None:
    """An error in the contract's shape, with nothing of the inside nor of what was sent."""
    assert not any(word in told.body.decode() for word in (*INSIDE, *SENT))
    body = told.json
    if set(body) == {"error"}:  # OpenAI's shape, below /v1
        assert set(body["error"]) == {"message", "type", "param", "code"}
        return
    assert set(body) == {"detail", "type", "code", "request_id"} | ({"errors"} if told.status == 422 else set())
    assert body["code"] == told.status
    assert re.fullmatch("[a-z_]+", body["type"])
    assert told.headers["content-type"] == "application/json"
    for problem in body.get("errors", ()):
        assert set(problem) == {"loc", "msg"}
    assert not any(word in told.body.decode() for word in (*INSIDE, *SENT))


def alike(told: list[Told]) -> Told:
    """The one answer that both gave."""
    first, second = told
    assert first.status == second.status, told
    if first.status >= 400:
        assert first.body == second.body
    return first


@pytest.mark.parametrize(("method", "path", "body", "status"), BODIES, ids=lambda value: str(value)[:60])
async def test_a_good_request_is_served(method: str, path: str, body: Any, status: int, sides: Sides) -> None:
    for side in sides.all:
        ids = await things_of(side.user)
        if "refresh_token" in body:
            ids |= (await side.people.logged_in(side.user.name)).ids
        told = await _told(side, Bad("good", method, path, json.dumps(body).encode(), JSON), ids)
        assert told.status == status, told.body


async def test_the_table_has_every_field_of_every_body(sides: Sides) -> None:
    schema = (await send(sides.all[0].user, "GET", "/openapi.json")).json
    there = set()
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            for content in (route.get("requestBody", {}).get("content", {}).get("application/json"),):
                there |= {(method.upper(), path, name) for name in _fields(content, schema)}
    bodies = [*((method, path, body) for method, path, body, _ in BODIES), *ADMIN_BODIES]
    table = {(method, path.replace("answer_id", "message_id"), name) for method, path, body in bodies for name in body}
    assert table == there


def _fields(part: Any, schema: Any) -> set[str]:
    """The names of an object's fields; of any of the objects where there is a choice."""
    if isinstance(part, dict) and "$ref" in part:
        part = schema["components"]["schemas"][part["$ref"].rpartition("/")[2]]
    if not isinstance(part, dict):
        return set()
    names = set(part.get("properties", ()))
    choices = [part.get("schema"), *part.get("anyOf", ()), *part.get("oneOf", ())]
    return names.union(*(_fields(choice, schema) for choice in choices))


@pytest.mark.parametrize(("table", "method"), GROUPS, ids=str)
async def test_bad_requests_are_refused_by_both_alike(table: str, method: str, sides: Sides) -> None:
    faults = []
    for bad in GROUPS[table, method]:
        try:
            told = alike(await sides.told(bad))
            assert told.status in bad.statuses, told.body
            if told.status >= 400:
                refused(told)
        except AssertionError as fault:
            faults.append(f"{bad}: {fault}")
    assert faults == []


@pytest.mark.parametrize("name", [*bad_credentials.headers("g", "ask_" + "k" * 40, "o")])
async def test_a_credential_is_taken_whole_or_not_at_all(name: str, sides: Sides) -> None:
    for side in sides.all:
        user = await fresh(side)
        lines, me, chats = bad_credentials.headers(token_of(user), side.user.ids["key"], token_of(side.other))[name]
        for path, status in ((f"{AUTH}/me", me), (CHATS, chats)):
            answer = await exchange(side.service.port, head("GET", path, *lines))
            assert answer.status == status, answer.body
            if status >= 400:
                assert set(answer.json()) == {"detail", "type", "code", "request_id"}
            elif me == 401:
                assert answer.json()["items"] == []  # an anonymous caller's list


async def test_a_token_in_the_address_is_none(sides: Sides) -> None:
    for side in sides.all:
        for name in ("access_token", "token", "api_key", "key", "authorization"):
            for value in (side.user.ids["key"], token_of(side.other)):
                told = await send(side.people.nobody(), "GET", f"{AUTH}/me?{name}={value}")
                assert told.status == 401


async def fresh(side: Side) -> User:
    """The same user by a token, which no test before has ended."""
    if "fresh" not in side.user.ids:
        side.user.ids["fresh"] = token_of(await side.people.logged_in(side.user.name))
    return side.people.who_shows({"Authorization": f"Bearer {side.user.ids['fresh']}"}, side.user.name)


async def test_a_bent_token_is_refused(sides: Sides) -> None:
    for side in sides.all:
        good = token_of(await fresh(side))
        told = {}
        nobody = side.people.nobody()
        for name, token in bad_credentials.tokens(good, SECRET, token_of(side.other)):
            told[name] = await send(nobody, "GET", f"{AUTH}/me", headers={"Authorization": f"Bearer {token}"})
        assert len(told) > 90
        assert {name: answer.status for name, answer in told.items() if answer.status != 401} == {}
        assert len({answer.body for answer in told.values()}) == 1  # nothing is said of what was wrong
        assert next(iter(told.values())).headers["www-authenticate"] == "Bearer"
        rebuilt = {"Authorization": f"Bearer {bad_credentials.same(good, SECRET)}"}
        assert (await send(nobody, "GET", f"{AUTH}/me", headers=rebuilt)).status == 200


async def test_a_bent_token_is_refused_over_a_socket(sides: Sides) -> None:
    for side in sides.all:
        bent = dict(bad_credentials.tokens(token_of(await fresh(side)), SECRET, token_of(side.other)))
        for name in ("alg 'none' with no signature", "RS256, signed by the secret", "use 'refresh'", "no exp"):
            token = bent.get(name) or bent[f"alg {name}"]
            async with side.service.socket() as socket:
                await socket.hello()
                await socket.send(type="auth", token=token)
                assert (await socket.next())["code"] == "unauthorized"
                assert await socket.closed() == 4401
        for odd in ("", "\0", "\u00e9", "a" * 5000, " ", "ask_", "ask_" + "\u0661" * 40):
            async with side.service.socket() as socket:
                await socket.hello()
                await socket.send(type="auth", token=odd)
                assert (await socket.next())["code"] == "unauthorized"


async def test_one_kind_of_token_is_not_taken_for_another(sides: Sides) -> None:
    for side in sides.all:
        user = await side.people.logged_in(side.user.name)
        nobody = side.people.nobody()
        for shown in (user.ids["refresh_token"], f"ask_{user.ids['refresh_token'][:40]}"):
            for header in ({"Authorization": f"Bearer {shown}"}, {"X-API-Key": shown}):
                assert (await send(nobody, "GET", f"{AUTH}/me", headers=header)).status == 401
        for token in (token_of(user), side.user.ids["key"]):
            told = await send(nobody, "POST", f"{AUTH}/refresh", json={"refresh_token": token})
            assert told.status == 401


@pytest.mark.slow
@pytest.mark.parametrize(("password", "others"), PASSWORDS.values(), ids=PASSWORDS)
async def test_no_two_passwords_are_one(password: str, others: list[str], sides: Sides) -> None:
    for side in sides.all:
        name = f"user-{uuid4().hex[:12]}"
        account = {"username": name, "email": f"{name}@example.com", "password": password}
        nobody = side.people.nobody()
        assert (await send(nobody, "POST", f"{AUTH}/register", json=account)).status == 201
        for other in others:
            told = await send(nobody, "POST", f"{AUTH}/login", json={"username": name, "password": other})
            assert (told.status, told.json["detail"]) == (401, "Wrong user name or password.")
        for way in ({"json": {"username": name, "password": password}}, {"data": account}):
            path = f"{AUTH}/login" if "json" in way else f"{AUTH}/token"
            assert (await send(nobody, "POST", path, **way)).status == 200


@pytest.mark.parametrize(("method", "path", "body", "status"), BODIES, ids=lambda value: str(value)[:60])
async def test_what_a_client_may_not_set_is_not_set(
    method: str, path: str, body: Any, status: int, sides: Sides
) -> None:
    if path.endswith(("/login", "/logout", "/refresh", "/change-password")) or "stream" in path:
        return  # they tell nothing of anything kept
    for side in sides.all:
        more = NOT_FOR_CLIENTS | {"user_id": (await send(side.other, "GET", f"{AUTH}/me")).json["id"]}
        bad = Bad("more", method, path, json.dumps({**more, **body}).encode(), JSON)
        told = await _told(side, bad, await things_of(side.user))
        assert told.status == status
        for part in (told.json, *(inner for inner in told.json.values() if isinstance(inner, dict))):
            assert [name for name in more if name in part and part[name] == more[name] and name not in body] == []
        before = (await send(side.other, "GET", f"{CHATS}?page_size=100")).json["total"]
        assert before == 1  # the one of the other user's own
        me = (await send(side.user, "GET", f"{AUTH}/me")).json
        assert (me["is_admin"], me["is_active"], me["username"]) == (False, True, side.user.name)


@pytest.mark.parametrize("value", FITTING.values(), ids=FITTING)
async def test_what_fits_is_kept_as_it_was_sent(value: dict[str, Any], sides: Sides) -> None:
    for side in sides.all:
        if "content" in value:
            told = await send(side.user, "POST", f"{CHATS}/{side.user.ids['chat_id']}/messages", json=value)
            assert told.status == 201, told.body
            assert told.json["user_message"]["content"] == value["content"]
            continue
        made = await send(side.user, "POST", CHATS, json=value)
        assert made.status == 201, made.body
        for told in (made, await send(side.user, "GET", f"{CHATS}/{made.json['id']}")):
            assert {name: told.json[name] for name in value} == value
        assert (await send(side.user, "DELETE", f"{CHATS}/{made.json['id']}")).status == 204


async def test_both_find_the_same(sides: Sides) -> None:
    for side in sides.all:
        for title in TITLES:
            assert (await send(side.other, "POST", CHATS, json={"title": title})).status == 201
    for query in (*TITLES, *(title.swapcase() for title in TITLES), "%", "_", "\\", "'", '"', "\u00df"):
        found = []
        for side in sides.all:
            told = await send(side.other, "GET", CHATS, params={"q": query, "page_size": 100})
            found.append(sorted(chat["title"] for chat in told.json["items"]))
        assert found[0] == found[1], query
        assert query not in TITLES or query in found[0]
    for side in sides.all:
        for chat in (await send(side.other, "GET", f"{CHATS}?page_size=100")).json["items"]:
            if chat["title"] in TITLES:
                await send(side.other, "DELETE", f"{CHATS}/{chat['id']}")


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: str(frame)[:70])
async def test_a_bad_frame_is_answered_by_both_alike(frame: dict[str, Any], sides: Sides) -> None:
    answers = []
    for side in sides.all:
        text = json.dumps(frame)
        for name, value in side.user.ids.items():
            text = text.replace(f"{{{name}}}", value)
        async with side.service.socket(additional_headers=side.user.headers) as socket:
            await socket.hello()
            await socket.connection.send(text)
            await socket.send(type="ping")
            first = (await socket.until(type="pong"))[0]
            if first["type"] == "pong" and frame.get("type") == "question":  # it takes its time to keep one
                first = await socket.next()
        answers.append([first.get(name) for name in ("type", "code", "message", "retryable")])
    assert answers[0] == answers[1]
    assert answers[0][1] not in ("internal_error", "storage_unavailable")


async def test_after_all_that_no_fault_is_logged(sides: Sides) -> None:
    for side in sides.all:
        assert [line for line in side.service.log if line.get("level") in ("error", "critical")] == []


@pytest.mark.slow
async def test_fifty_wrong_logins_are_stopped_whatever_the_headers_say(tmp_path: Path) -> None:
    async with running(tmp_path) as service, People(service) as people:
        user, nobody = await people.registered(), people.nobody()
        statuses = []
        for n in range(50):
            address = f"203.0.113.{n}"
            made_up = {"X-Forwarded-For": address, "X-Real-IP": address, "Forwarded": f"for={address}"}
            body = {"username": user.name if n % 2 else f"user{n}", "password": "wrong password"}
            way = {"data": body} if n % 3 else {"json": body}
            told = await send(nobody, "POST", f"{AUTH}/{'token' if n % 3 else 'login'}", headers=made_up, **way)
            statuses.append(told.status)
        assert statuses == [401] * 20 + [429] * 30
        refused(told)
        assert told.json["type"] == "rate_limited"
        assert int(told.headers["retry-after"]) > 0
        right = {"username": user.name, "password": PASSWORD}
        assert (await send(nobody, "POST", f"{AUTH}/login", json=right)).status == 429
        change = {"old_password": "wrong password", "new_password": PASSWORD}
        assert (await send(user, "POST", f"{AUTH}/change-password", json=change)).status == 429
        elsewhere = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
        async with service.client(transport=elsewhere) as client:  # the user is not kept out
            assert (await client.post(f"{AUTH}/login", json=right)).status_code == 200
