"""The routes of agents and statistics: real services and databases below."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.routers import agents as agent_routes
from backend.routers import chats as chat_routes
from backend.routers import stats as stats_routes
from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from infrastructure.database.repositories.usage import UsageRepository, UsageRow
from infrastructure.error_handlers import install_error_handlers
from infrastructure.providers.types import Usage
from services.agents import Agents
from services.budgets import Budgets, counted_under
from services.chats import Chats
from services.knowledge.scopes import Scopes
from services.principals import ANONYMOUS, Principal
from services.stats import SYSTEM_SECONDS, Stats
from tests.services.chat_rows import START, Time, add_chat, add_user

PATH = "/api/v1/agents"
TOOLS = ["search_knowledge_base", "list_knowledge_files"]
FULL: dict[str, Any] = {
    "name": "Desk", "description": "Lends.", "prompt": "Be brief.", "model": "openai/small", "tools": TOOLS[:1],
    "knowledge_scope": {"files": [], "shared": True}, "answers": "knowledge_only",
    "starter_messages": [{"name": "Go", "message": "Where to?"}], "is_visible": False,
}  # fmt: skip


class Rooms:
    """What the routes take from the container."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = Time()
        self.seconds = 0.0
        scopes = Scopes(database)
        self.agents = Agents(
            database, scopes, clock=self.clock, tools=lambda: TOOLS, may_choose=lambda name: name == "openai/small",
            shared_documents=_none,
        )  # fmt: skip
        self.chats = Chats(database, clock=self.clock, publish=lambda *what: None)
        self.budgets = Budgets(database, self.clock, 1000)
        self.stats = Stats(database, self.budgets, clock=self.clock, monotonic=lambda: self.seconds)

    @asynccontextmanager
    async def client(self, user: str | None = None, *, admin: bool = False) -> AsyncIterator[httpx.AsyncClient]:
        app = FastAPI()
        app.state.container = self
        install_error_handlers(app, lambda kind: None)
        for routes in (agent_routes, chat_routes, stats_routes):
            app.include_router(routes.router)
        transport = httpx.ASGITransport(_As(app, Principal(user, is_admin=admin) if user else ANONYMOUS))
        async with httpx.AsyncClient(transport=transport, base_url="http://service.test") as client:
            yield client


class _As:
    """Where the real service has its middleware."""

    def __init__(self, app: ASGIApp, principal: Principal) -> None:
        self._app = app
        self._principal = principal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"caller": "203.0.113.7", "principal": self._principal, "request_id": uuid4().hex}
        await self._app(scope, receive, send)


async def _none() -> list[str]:
    return []


@pytest_asyncio.fixture
async def rooms(database: Database) -> AsyncIterator[Rooms]:
    rooms = Rooms(database)
    yield rooms
    await rooms.budgets.aclose()


def refused(response: httpx.Response, status: int, kind: str, detail: str = "") -> None:
    body = response.json()
    assert (response.status_code, body["type"], body["code"]) == (status, kind, status), body
    assert detail in body["detail"]


async def test_an_agent_is_made_shown_listed_changed_and_deleted(rooms: Rooms) -> None:
    ada = await add_user(rooms.database)
    async with rooms.client(ada) as client:
        made = await client.post(PATH, json=FULL)
        assert made.status_code == 201
        agent = made.json()
        own = {name: agent[name] for name in FULL}
        assert own == FULL
        assert set(agent) == {*FULL, "id", "shared", "created_at", "updated_at"}
        assert agent["shared"] is False
        one = f"{PATH}/{agent['id']}"
        assert (await client.get(one)).json() == agent
        assert (await client.get(PATH)).json() == {"items": [agent], "total": 1}
        rooms.clock.pass_by(hours=1)
        changed = (await client.patch(one, json={"name": "Other", "model": None, "knowledge_scope": None})).json()
        assert changed == agent | {
            "name": "Other", "model": None, "knowledge_scope": None, "updated_at": "2026-01-05T10:30:00Z",
        }  # fmt: skip
        assert (await client.patch(one, json={})).json()["name"] == "Other"
        assert (await client.delete(one)).status_code == 204
        for response in (await client.get(one), await client.patch(one, json={}), await client.delete(one)):
            refused(response, 404, "not_found", "No such agent.")


async def test_what_is_not_sent_has_a_default(rooms: Rooms) -> None:
    async with rooms.client(await add_user(rooms.database)) as client:
        agent = (await client.post(PATH, json={"name": "Desk"})).json()
    assert agent | {"id": "", "created_at": "", "updated_at": ""} == {
        "id": "", "name": "Desk", "description": None, "prompt": "", "model": None, "tools": sorted(TOOLS),
        "knowledge_scope": None, "answers": "open", "starter_messages": [], "is_visible": True, "shared": False,
        "created_at": "", "updated_at": "",
    }  # fmt: skip


async def test_who_may_not_is_told_so(rooms: Rooms) -> None:
    root, ada = await add_user(rooms.database, "root"), await add_user(rooms.database)
    async with rooms.client(root, admin=True) as admin, rooms.client(ada) as client, rooms.client() as nobody:
        shared = (await admin.post(PATH, json={"name": "All", "shared": True})).json()
        assert shared["shared"] is True
        one = f"{PATH}/{shared['id']}"
        refused(await nobody.post(PATH, json={"name": "x"}), 401, "unauthorized")
        refused(await client.post(PATH, json={"name": "x", "shared": True}), 403, "forbidden")
        for who, status, kind in ((client, 403, "forbidden"), (nobody, 401, "unauthorized")):
            assert (await who.get(one)).json() == shared
            assert (await who.get(PATH)).json()["total"] == 1
            refused(await who.patch(one, json={"name": "x"}), status, kind)
            refused(await who.delete(one), status, kind)
        assert (await admin.patch(one, json={"prompt": "x"})).json()["prompt"] == "x"
        chat = await nobody.post("/api/v1/chats", json={"agent_id": shared["id"]})
        assert (chat.status_code, chat.json()["agent_id"]) == (201, shared["id"])
        mine = (await client.post(PATH, json={"name": "Mine"})).json()
        refused(await nobody.post("/api/v1/chats", json={"agent_id": mine["id"]}), 404, "not_found", "No such agent.")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", " "), ("name", "x" * 101), ("name", None), ("name", "a\0b"), ("prompt", "x" * 8001),
        ("prompt", None), ("description", "x" * 1001), ("model", "small"), ("model", "/small"),
        ("model", "openai/"), ("model", "openai/large"), ("model", "openai/\nx"), ("tools", ["rm"]),
        ("tools", [""]), ("tools", ["x"] * 21), ("tools", "x"), ("knowledge_scope", {"files": ["x"]}),
        ("knowledge_scope", {"files": [], "shared": False}), ("knowledge_scope", {"shared": None}),
        ("knowledge_scope", {"files": [f"01999999-0000-7000-8000-{n:012}" for n in range(51)]}),
        ("answers", "maybe"), ("answers", None),
        ("starter_messages", [{"name": "a"}]), ("starter_messages", [{"name": "a", "message": " "}]),
        ("starter_messages", [{"name": "a", "message": "b"}] * 21), ("starter_messages", None), ("is_visible", None),
        ("starter_messages", [{"name": "x" * 101, "message": "b"}]),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # nothing gets as far as the database
async def test_what_is_no_agent_is_refused_by_the_fields_name(field: str, value: Any, rooms: Rooms) -> None:
    async with rooms.client(await add_user(rooms.database)) as client:
        agent = (await client.post(PATH, json=FULL)).json()
        for method, path, body in (("POST", PATH, FULL), ("PATCH", f"{PATH}/{agent['id']}", {})):
            response = await client.request(method, path, json={**body, field: value})
            refused(response, 422, "validation_error", field)
        assert (await client.get(PATH)).json()["total"] == 1
        assert (await client.get(f"{PATH}/{agent['id']}")).json() == agent


async def test_a_file_that_is_not_there_is_a_404(rooms: Rooms) -> None:
    async with rooms.client(await add_user(rooms.database)) as client:
        body = {"name": "x", "knowledge_scope": {"files": [new_id()], "shared": True}}
        refused(await client.post(PATH, json=body), 404, "not_found", "No such file.")


async def test_a_user_is_told_what_was_used_and_what_is_left(rooms: Rooms) -> None:
    ada, bob = await add_user(rooms.database), await add_user(rooms.database, "bob")
    await add_chat(rooms.database, ada, turns=[("a?", "b.")])
    today = START.date()
    async with rooms.database.write() as session:
        await UsageRepository(session).add(
            UsageRow(user, day, "m", 10, 1, 1)
            for user in (ada, bob)
            for day in (today - timedelta(days=30), today - timedelta(days=29))
        )
    rooms.budgets.note(counted_under(ada, "x"), "n", Usage(100, 20))
    rooms.budgets.note("192.0.2.1", "n", Usage(1, 1))
    async with rooms.client(ada) as client:
        found = (await client.get("/api/v1/stats/user")).json()
    old = {"day": str(today - timedelta(days=29)), "model": "m"}
    assert found == {
        "since": old["day"], "questions": 2, "prompt_tokens": 110, "completion_tokens": 21,
        "days": [
            old | {"questions": 1, "prompt_tokens": 10, "completion_tokens": 1},
            {"day": str(today), "model": "n", "questions": 1, "prompt_tokens": 100, "completion_tokens": 20},
        ],
        "chats": 1, "files": 0,
        "budget": {"tokens_per_day": 1000, "used": 120, "left": 880, "resets_at": "2026-01-06T00:00:00Z"},
    }  # fmt: skip


async def test_an_admin_is_told_of_all_counted_now_and_then(rooms: Rooms) -> None:
    ada = await add_user(rooms.database)
    async with rooms.client(ada, admin=True) as admin:
        first = (await admin.get("/api/v1/stats/system")).json()
        assert (first["users"], first["chats"], first["messages"], first["runs"]) == (1, 0, 0, {})
        await add_chat(rooms.database, ada, turns=[("a?", "b.")])
        rooms.budgets.note("192.0.2.1", "n", Usage(1, 2))
        assert (await admin.get("/api/v1/stats/system")).json() == first
        rooms.seconds = SYSTEM_SECONDS
        rooms.clock.now = START
        found = (await admin.get("/api/v1/stats/system")).json()
    assert {name: found[name] for name in ("users", "chats", "messages", "files", "runs")} == {
        "users": 1, "chats": 1, "messages": 2, "files": 0, "runs": {"complete": 1},
    }  # fmt: skip
    assert found["days"] == [
        {"day": str(date(2026, 1, 5)), "model": "n", "questions": 1, "prompt_tokens": 1, "completion_tokens": 2}
    ]
    assert (found["questions"], found["counted_at"]) == (1, "2026-01-05T09:30:00Z")


async def test_statistics_are_for_who_they_are_of(rooms: Rooms) -> None:
    ada = await add_user(rooms.database)
    async with rooms.client() as nobody, rooms.client(ada) as client:
        for path in ("user", "system"):
            refused(await nobody.get(f"/api/v1/stats/{path}"), 401, "unauthorized")
        refused(await client.get("/api/v1/stats/system"), 403, "forbidden")
