"""Whose is what, from outside: every route, as its owner, a stranger, an admin and nobody.

Another user's thing is answered like one that never was, byte for byte. Each test runs twice: with sign-in required and
without.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.e2e.chat_sse import ChatEvents
from tests.e2e.conftest import scripted_model
from tests.e2e.owners import CANARY, People, Told, User, all_of, call, never, send, things_for, things_of, with_things
from tests.e2e.owners_world import TOKENS, World, held_back
from tests.e2e.raw import exchange, head
from tests.e2e.route_table import AGENTS, AUTH, CHAT, CHATS, FILES, KNOWLEDGE, NAMING_ROWS, QUESTION, ROWS, Row, Rule
from tests.e2e.service import Socket, running
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
NO_CHAT, NO_MESSAGE, NO_RUN, NO_FILE = "No such chat.", "No such message.", "No such run.", "No such file."
ODD_METHODS = ("OPTIONS", "HEAD", "TRACE", "PUT", "PATCH", "POST", "DELETE", "PROPFIND")
FOR_ALL = (Rule.OPEN, Rule.OPERATIONS)
CHAT_ROW = Row("GET", CHAT, Rule.THEIRS)
NOWHERE = (
    "/nowhere", "/api/v1", "/api/v1/", "/api/v1/auth", "/api/v1/auth/nowhere", "/api/v1/admin", "/docs/x", "/health/",
    "/static", "/runs", "/runs/", "//api/v1/chats", "/openapi.json/", "/healthy", "/HEALTH", "/api/v1/auth/login/",
    "/health/../api/v1/chats", "/docs/..%2fapi%2fv1%2fchats", "/api/v1/auth/login/../me", "/%2e/health", "/health%3f",
    "/api/v1/auth/login%2f..%2fme", "/api/v1/auth/login%00", "/health;/../api/v1/chats", "/%ED%A0%80", "/%ff",
)  # fmt: skip


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=[False, True], ids=["sign-in is free", "sign-in is required"]
)
async def world(
    request: pytest.FixtureRequest, far_end: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("world")
    database = f"sqlite:///{folder}/askgraph.db"
    settings = scripted_model(far_end) | {
        "AUTH_REQUIRED": request.param, "DATABASE_URL": database,
        "OLLAMA_BASE_URL": "http://127.0.0.1:9",  # not one that may be running here: the admin has it fetch a model
    }  # fmt: skip
    async with running(folder, settings) as service, People(service) as people:
        owner, stranger, busy, above = [
            await with_things(user)
            for user in await asyncio.gather(*(people.registered() for _ in range(3)), people.admin(database, folder))
        ]
        by_key = people.who_shows({"X-API-Key": stranger.ids["key"]}, stranger.name, **stranger.ids)
        strangers = {"stranger": stranger, "stranger by key": by_key, "admin": above, "nobody": people.nobody()}
        yield World(service, people, request.param, owner, busy, strangers, await all_of(owner))


def not_found(told: Told, *details: str) -> None:
    assert told.status == 404, told.body
    assert set(told.json) == {"detail", "type", "code", "request_id"}
    assert (told.json["type"], told.json["code"]) == ("not_found", 404)
    assert told.json["detail"] in details


async def test_the_table_has_every_route(world: World) -> None:
    async with world.service.client() as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    there = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert {row.route for row in ROWS if not row.hidden} == there


@pytest.mark.parametrize("row", NAMING_ROWS, ids=str)
async def test_whose_it_is_is_served(row: Row, world: World) -> None:
    ids = (await with_things(world.busy)).ids if "{key_id}" in row.path else await things_for(world.busy, row)
    told = await call(world.busy, row, ids)
    assert told.status == row.status, told.body


@pytest.mark.parametrize("row", NAMING_ROWS, ids=str)
async def test_another_users_thing_is_as_one_that_never_was(row: Row, world: World) -> None:
    unknown = CHAT_ROW if row.rule is Rule.SESSION else row
    for stranger in world.who_may_come_in:
        if stranger.headers or not row.path.startswith(AUTH):  # who has no account has no keys to ask for
            theirs = await call(stranger, row, world.owner.ids)
            not_found(theirs, NO_CHAT, NO_RUN, NO_FILE, "No such agent.", "No such API key.")
            assert theirs == await call(stranger, unknown, never())


@pytest.mark.parametrize("row", {row.path: row for row in NAMING_ROWS}.values(), ids=str)
async def test_other_methods_and_spellings_show_nothing_either(row: Row, world: World) -> None:
    spelt = row.path.removesuffix("/") if row.path.endswith("/") else f"{row.path}/"
    variants = [(method, row) for method in ODD_METHODS if method != row.method]
    variants += [(row.method, Row(row.method, spelt, row.rule, row.body))]
    for stranger in (world.strangers["stranger"], world.strangers["nobody"]):
        for method, variant in variants:
            theirs = await call(stranger, variant, world.owner.ids, method)
            unknown = await call(stranger, variant, ids := never(), method)
            assert theirs.status == unknown.status
            assert theirs.status in (307, 401, 404, 405, 422), (method, variant, theirs.body)
            assert _named(theirs, world.owner.ids) == _named(unknown, ids)
            assert CANARY not in theirs.body.decode()


def _named(told: Told, ids: dict[str, str]) -> tuple[str, bytes]:
    """Headers and body, with the ids that the request named told by their names: a redirect repeats them."""
    headers, body = json.dumps(dict(told.headers)), told.body
    for name, value in ids.items():
        headers, body = headers.replace(value, name), body.replace(value.encode(), name.encode())
    return headers, body


@pytest.mark.parametrize("row", [row for row in ROWS if row.rule not in FOR_ALL], ids=str)
async def test_who_has_to_sign_in_is_told_so(row: Row, world: World) -> None:
    """On every route where sign-in is required; else where something is a user's only."""
    if not (world.closed or row.path.startswith(AUTH)):
        return
    for method in (row.method, "OPTIONS", "HEAD", "PUT") if world.closed else (row.method,):
        other = None if method == row.method else method
        theirs = await call(world.strangers["nobody"], row, world.owner.ids, other)
        assert theirs == await call(world.strangers["nobody"], row, never(), other)
        assert theirs.status == 401
        if method != "HEAD":
            error = theirs.json.get("error") or {"message": theirs.json["detail"], "code": theirs.json["type"]}
            assert error["code"] == ("invalid_api_key" if row.path.startswith("/v1/") else "unauthorized")
            assert error["message"] == "Sign in first."


@pytest.mark.parametrize("row", [row for row in ROWS if row.rule in FOR_ALL], ids=str)
async def test_what_is_open_is_open_to_everybody(row: Row, world: World) -> None:
    fresh = await world.people.logged_in(world.busy.name)
    told = await call(world.strangers["nobody"], row, fresh.ids)
    assert told.status == row.status, told.body
    assert CANARY not in told.body.decode()


@pytest.mark.parametrize("row", [row for row in ROWS if row.rule is Rule.ADMIN], ids=str)
async def test_what_is_for_admins_is_for_nobody_else(row: Row, world: World) -> None:
    for name, stranger in world.strangers.items():
        told = await call(stranger, row, never())
        assert told.status == {"admin": row.status, "nobody": 401}.get(name, 403), told.body


@pytest.mark.parametrize("path", NOWHERE)
async def test_where_sign_in_is_required_what_is_nowhere_is_not_even_missing(path: str, world: World) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        answer = await exchange(world.service.port, head(method, path, "Content-Length: 0", "Connection: close"))
        assert answer.status in ((401,) if world.closed else (307, 404, 405, 422)), (method, answer.body)


@pytest.mark.parametrize("way", ["..", "%2e%2e", "/../..", "..%2f..", "swagger/../.."])
async def test_the_open_folder_leads_nowhere_else(way: str, world: World) -> None:
    path = f"/static/{way}{CHATS}/{world.owner.ids['chat_id']}"
    answer = await exchange(world.service.port, head("GET", path))
    assert answer.status == 404
    assert CANARY.encode() not in answer.body


@pytest.mark.parametrize(
    ("origin", "status"), [("http://localhost:3000", 200), ("https://elsewhere.example", 403)]
)  # fmt: skip
async def test_a_preflight_shows_nothing(origin: str, status: int, world: World) -> None:
    asks = world.people.who_shows({"Origin": origin, "Access-Control-Request-Method": "DELETE"})
    theirs = await call(asks, CHAT_ROW, world.owner.ids, "OPTIONS")
    assert theirs == await call(asks, CHAT_ROW, never(), "OPTIONS")
    assert theirs.status == status


async def test_a_list_has_the_callers_own_alone(world: World) -> None:
    lists = {
        CHATS: "items", f"{CHATS}?q={CANARY}&page_size=100": "items", f"{CHATS}?q={QUESTION[:20]}": "items",
        "/api/v1/conversations": "conversations", "/api/v1/sessions/": None, f"{AUTH}/api-keys": "items",
        FILES: "items", AGENTS: "items",
    }  # fmt: skip
    theirs = {value for name, value in world.owner.ids.items() if name.endswith("_id")}
    for stranger in world.who_may_come_in:
        for path, name in lists.items():
            told = await send(stranger, "GET", path)
            if not stranger.headers and path.startswith(AUTH):
                assert told.status == 401
                continue
            items = told.json[name] if name else told.json
            assert bool(items) is bool(stranger.headers)  # what is nobody's is listed for nobody
            assert not any(value.encode() in told.body for value in theirs)


async def test_a_message_is_found_in_its_own_chat_alone(world: World) -> None:
    """Whoever's the other chat is: one's own, or somebody else's."""
    rows = [row for row in ROWS if "{message_id}" in row.path or "{answer_id}" in row.path]
    assert len(rows) == 4
    for stranger in world.signed_in:
        mine, second = stranger.ids, await things_of(stranger)
        for row in rows:
            missing = await call(stranger, row, never() | {"chat_id": mine["chat_id"]})
            not_found(missing, NO_MESSAGE)
            for other in (world.owner.ids, second):
                assert await call(stranger, row, other | {"chat_id": mine["chat_id"]}) == missing
            not_found(await call(stranger, row, mine | {"chat_id": world.owner.ids["chat_id"]}), NO_CHAT)
            not_found(await call(stranger, row, mine | {"chat_id": never()["chat_id"]}), NO_CHAT)


async def test_what_is_nobodys_is_reached_by_its_id(world: World) -> None:
    nobody, stranger = world.strangers["nobody"], world.strangers["stranger"]
    begun = await send(nobody, "POST", CHATS, json={})
    assert begun.status == (401 if world.closed else 201)
    for row in NAMING_ROWS:
        if row.path.startswith(AUTH) or "{agent_id}" in f"{row.path}{row.body}" or world.closed:
            continue  # keys and agents are always somebody's
        for caller in (stranger, nobody):
            ids = await things_for(nobody, row)
            told = await call(caller, row, ids)
            assert told.status == row.status, (row, told.body)
    listed = (await send(stranger, "GET", f"{CHATS}?page_size=100")).json["items"]
    assert begun.status == 401 or begun.json["id"] not in [chat["id"] for chat in listed]


async def test_a_stranger_logs_out_nobody_else(world: World) -> None:
    fresh = await world.people.logged_in(world.busy.name)
    told = await send(
        world.strangers["stranger by key"], "POST", f"{AUTH}/logout", json={"refresh_token": "made up"}
    )  # fmt: skip
    assert told.status == 204  # as for one that never was: nothing is said of it
    assert (await send(fresh, "GET", f"{AUTH}/me")).status == 200


async def test_what_was_a_deleted_users_is_as_what_never_was(world: World) -> None:
    gone = await with_things(await world.people.registered())
    assert (await send(gone, "DELETE", f"{AUTH}/me")).status == 204
    for shown in (gone, world.people.who_shows({"X-API-Key": gone.ids["key"]})):
        assert (await send(shown, "GET", f"{AUTH}/me")).status == 401
    for row in NAMING_ROWS:
        if row.rule is Rule.THEIRS:
            stranger = world.strangers["stranger"]
            assert await call(stranger, row, gone.ids) == await call(stranger, row, never()), row


async def test_a_request_id_is_the_callers_own(world: World) -> None:
    key, runs = f"key-{uuid4().hex}", {}
    for caller in (world.busy, *world.who_may_come_in):
        body = {"json": {"question": QUESTION}, "headers": {"Idempotency-Key": key}}
        answers = [(await send(caller, "POST", "/ask", **body)).json for _ in range(2)]
        assert answers[0]["run_id"] == answers[1]["run_id"]
        runs[caller.name] = answers[0]["run_id"]
    assert len(set(runs.values())) == len(runs) == (3 if world.closed else 4)


@pytest.mark.parametrize(
    "row",
    [row for row in NAMING_ROWS if row.query == "" and QUESTION in str(row.body) and KNOWLEDGE not in row.path],
    ids=str,
)
async def test_a_request_id_says_nothing_of_anothers_chat(row: Row, world: World) -> None:
    """Neither that there was a request of that id, nor what was asked."""
    ids = await things_of(world.busy)
    key = {"Idempotency-Key": f"key-{uuid4().hex}"}
    first = {"question": QUESTION, "session_id": ids["chat_id"]}
    assert (await send(world.busy, "POST", "/v2/ask", json=first, headers=key)).status == 200
    body = {name: "What is staking?" if value == QUESTION else value for name, value in (row.body or {}).items()}
    for stranger in world.who_may_come_in:
        for asked in (row, Row(row.method, row.path, row.rule, body)):
            not_found(await call(stranger, asked, ids, **key), NO_CHAT)


async def _refused(socket: Socket, **frame: Any) -> dict[str, Any]:
    await socket.send(**frame)
    answer = await socket.next()
    assert answer["type"] == "error"
    return {**answer, "timestamp": 0}


@pytest.mark.parametrize("who", ["stranger", "stranger by key", "admin", "nobody"])
async def test_over_a_socket_anothers_thing_is_as_one_that_never_was(who: str, world: World) -> None:
    ids, stranger = world.owner.ids, world.strangers[who]
    code = "unauthorized" if world.closed and not stranger.headers else "not_found"
    async with world.service.socket(additional_headers=stranger.headers) as socket:
        await socket.hello()
        for kind in ("attach", "cancel"):
            for more in ({}, {"after": 1}):
                theirs = await _refused(socket, type=kind, run_id=ids["run_id"], **more)
                assert theirs == await _refused(socket, type=kind, run_id=never()["run_id"], **more)
                assert theirs["code"] == code
        for fields in ({"question": QUESTION}, {"question": QUESTION, "request_id": "a"}, {"question": CANARY}):
            frame = {**fields, "session_id": ids["chat_id"]}
            theirs = await _refused(socket, type="question", **frame)
            assert (theirs["code"], theirs["message"] in (NO_CHAT, "Sign in first.")) == (code, True)
            assert await _refused(socket, type="question", data=frame) == theirs
            assert not any(value in json.dumps(theirs) for value in ids.values())


async def test_who_signs_in_as_another_leaves_what_was_the_firsts(world: World) -> None:
    token = world.strangers["stranger"].headers["Authorization"].partition(" ")[2]
    async with world.service.socket(additional_headers=world.busy.headers) as socket:
        session = (await socket.hello())["session_id"]
        run_id = (await socket.ask(QUESTION))[0]["run_id"]
        await socket.send(type="auth", token=token)
        assert (await socket.next())["status"] == "authenticated"
        assert (await _refused(socket, type="attach", run_id=run_id))["message"] == NO_RUN
        assert (await _refused(socket, type="question", question=QUESTION, session_id=session))["message"] == NO_CHAT
        assert (await socket.ask(QUESTION))[0]["session_id"] != session  # it goes on, in a session of the stranger's


async def test_a_run_under_way_is_neither_read_nor_stopped_by_a_stranger(world: World, scripted: ModelServer) -> None:
    owner = world.busy
    ids = never() | {"chat_id": (await send(owner, "POST", CHATS, json={"title": CANARY})).json["id"]}
    async with (
        held_back(scripted) as gate,
        world.service.socket(additional_headers=owner.headers) as socket,
        owner.client.stream("GET", f"{CHATS}/{ids['chat_id']}/events") as followed,
    ):
        await socket.hello()
        await socket.send(type="question", question=QUESTION, session_id=ids["chat_id"])
        ids["run_id"] = (await socket.next())["run_id"]
        gate.release(2)
        await socket.until(type="word")
        for stranger in world.who_may_come_in:
            await _kept_out(world, stranger, ids)
        gate.open()
        assert (await socket.until(type="complete"))[-1]["answer"] == "".join(TOKENS)
        assert len(await ChatEvents(followed).until("message.completed")) > 3


async def _kept_out(world: World, stranger: User, ids: dict[str, str]) -> None:
    for row in NAMING_ROWS:
        if "{run_id}" in row.path or row.path == f"{CHAT}/events":
            assert await call(stranger, row, ids) == await call(stranger, row, never())
    for last in (f"{ids['run_id']}:1", "x", ":1"):
        told = await send(stranger, "GET", f"/runs/{ids['run_id']}/events", headers={"Last-Event-ID": last})
        not_found(told, NO_RUN)
    async with world.service.socket(additional_headers=stranger.headers) as socket:
        await socket.hello()
        for kind in ("attach", "cancel"):
            assert (await _refused(socket, type=kind, run_id=ids["run_id"]))["message"] == NO_RUN


async def test_of_two_who_begin_a_session_under_one_id_one_has_it(world: World) -> None:
    first, second = world.busy, world.strangers["stranger"]

    async def race(chat_id: str) -> tuple[int, ...]:
        body = {"question": QUESTION, "session_id": chat_id}
        asked = [send(user, "POST", "/v2/ask", json=body) for user in (first, second)]
        return tuple(told.status for told in await asyncio.gather(*asked))

    ids = [str(uuid4()) for _ in range(20)]
    outcomes = await asyncio.gather(*map(race, ids))
    assert set(outcomes) <= {(200, 404), (404, 200)}
    for chat_id, outcome in zip(ids, outcomes, strict=True):
        seen = [await send(user, "GET", f"{CHATS}/{chat_id}/messages") for user in (first, second)]
        assert tuple(told.status for told in seen) == outcome
        assert [told.json["total"] for told in seen if told.status == 200] == [2]


async def test_after_all_that_the_owner_has_what_they_had_and_no_fault_is_logged(world: World) -> None:
    assert await all_of(world.owner) == world.before
    key = world.people.who_shows({"X-API-Key": world.owner.ids["key"]})
    assert (await send(key, "GET", f"{AUTH}/me")).json["username"] == world.owner.name
    assert [line for line in world.service.log if line.get("level") in ("error", "critical")] == []
