"""The routes of embedding models: real services, a search index and databases, and a model over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.embedders import embedding_opener
from backend.routers import embedding_models
from backend.settings import Settings
from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from infrastructure.error_handlers import install_error_handlers
from infrastructure.lexical.tantivy import LexicalIndex
from services.embedding_choice import open_serving, settle_default
from services.embedding_models import EmbeddingModels
from services.embedding_specs import ModelSpec, parse_spec
from services.knowledge.index import Indexer
from services.knowledge.search import SearchIndex
from services.knowledge.stored import StoredChunks
from services.principals import Principal
from services.reembedding import Reembedding
from tests.infrastructure.embedders.scripted import ScriptedServer, openai_answer
from tests.model_wire import Exchange
from tests.services.reembedding_parts import until

PATH = "/api/v1/embedding_models"
FIELDS = {
    "id", "name", "description", "provider", "dimensions", "is_default", "created_at", "updated_at", "state",
    "progress", "error",
}  # fmt: skip
WORDS = parse_spec("wordllama")
NEW = {"provider": "openai", "name": "small", "description": "Small."}


class Rooms:
    """What the routes take from the container, as the service puts it together."""

    def __init__(self, database: Database, search: SearchIndex, models: EmbeddingModels, work: Reembedding) -> None:
        self.database = database
        self.search = search
        self.embedding_models = models
        self.work = work

    @asynccontextmanager
    async def client(self, *, admin: bool = True, user: str | None = "a user") -> AsyncIterator[httpx.AsyncClient]:
        app = FastAPI()
        app.state.container = self
        install_error_handlers(app, lambda kind: None)
        app.include_router(embedding_models.router)
        transport = httpx.ASGITransport(_As(app, Principal(user, is_admin=admin and user is not None)))
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


@asynccontextmanager
async def open_rooms(
    database: Database, folder: Path, url: str, configured: ModelSpec = WORDS, *, explicit: bool = False
) -> AsyncIterator[Rooms]:
    """As `backend.assembly` opens it, over a folder with two documents."""
    settings = Settings(_env_file=None, embeddings_base_url=url, cache_dir=folder / "cache")
    opener = embedding_opener(settings, None)
    spec = await settle_default(database, configured, explicit=explicit, clock=_now)
    wanted = opener(spec)
    serving = await open_serving(database, wanted, opener)
    search = SearchIndex(serving, LexicalIndex(None), StoredChunks(database, serving.model, serving.dimensions))
    work = Reembedding(database, search, wanted, pauses=(0.01,) * 3)
    knowledge = folder / "knowledge"
    knowledge.mkdir(exist_ok=True)
    for name in ("bees", "abacus"):
        (knowledge / f"{name}.md").write_text(f"All there is to know of {name}.", "utf-8")
    await Indexer(knowledge, database, search.serving, search).start()
    task = asyncio.create_task(work.run())
    try:
        yield Rooms(database, search, EmbeddingModels(database, work, opener, clock=_now), work)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await work.aclose()
        await search.aclose()


@pytest_asyncio.fixture
async def far_end() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest_asyncio.fixture
async def rooms(database: Database, tmp_path: Path, far_end: ScriptedServer) -> AsyncIterator[Rooms]:
    async with open_rooms(database, tmp_path, far_end.url) as rooms:
        yield rooms


@pytest_asyncio.fixture
async def admin(rooms: Rooms) -> AsyncIterator[httpx.AsyncClient]:
    async with rooms.client() as client:
        yield client


def refused(response: httpx.Response, status: int, kind: str, detail: str = "") -> None:
    body = response.json()
    assert (response.status_code, body["type"], body["code"]) == (status, kind, status), body
    assert detail in body["detail"]


async def listed(client: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    body = (await client.get(PATH)).json()
    assert body["total"] == len(body["items"])
    return {item["name"]: item for item in body["items"]}


async def test_at_first_there_is_the_default_one_for_everybody_to_see(rooms: Rooms) -> None:
    async with rooms.client(user=None) as client:
        (model,) = (await listed(client)).values()
    assert set(model) == FIELDS
    shown = {name: model[name] for name in ("provider", "dimensions", "is_default", "state", "progress", "error")}
    assert shown == {
        "provider": "wordllama", "dimensions": 256, "is_default": True, "state": "serving", "progress": None,
        "error": None,
    }  # fmt: skip


async def test_only_admins_change_anything(rooms: Rooms) -> None:
    for user, status, kind in (("a user", 403, "forbidden"), (None, 401, "unauthorized")):
        async with rooms.client(admin=False, user=user) as client:
            refused(await client.post(PATH, json=NEW), status, kind)
            for target in (f"{PATH}/{new_id()}",):
                refused(await client.patch(target, json={"is_default": True}), status, kind)
                refused(await client.delete(target), status, kind)


async def test_another_model_is_made_known_and_takes_over(
    rooms: Rooms, admin: httpx.AsyncClient, far_end: ScriptedServer
) -> None:
    far_end.script(openai_answer)
    made = await admin.post(PATH, json=NEW)
    assert made.status_code == 201
    model = made.json()
    assert (model["dimensions"], model["state"], model["is_default"]) == (10, "known", False)
    refused(await admin.post(PATH, json=NEW), 409, "conflict")
    changed = await admin.patch(f"{PATH}/{model['id']}", json={"is_default": True, "description": None})
    assert changed.status_code == 200
    assert (changed.json()["is_default"], changed.json()["description"]) == (True, None)

    async def serves() -> bool:
        return (await listed(admin))["small"]["state"] == "serving"

    await until(serves)
    models = await listed(admin)
    former = models[WORDS.kept]
    assert (former["state"], former["is_default"]) == ("known", False)
    assert (await rooms.search.search("abacus")).passages[0].document == "abacus.md"
    refused(await admin.delete(f"{PATH}/{model['id']}"), 409, "conflict", "default")
    refused(await admin.patch(f"{PATH}/{model['id']}", json={"is_default": False}), 409, "conflict")
    assert (await admin.delete(f"{PATH}/{former['id']}")).status_code == 204
    assert list(await listed(admin)) == ["small"]
    refused(await admin.delete(f"{PATH}/{former['id']}"), 404, "not_found", "No such embedding model.")
    refused(await admin.patch(f"{PATH}/{new_id()}", json={}), 404, "not_found", "No such embedding model.")


async def test_a_model_that_cannot_be_had_changes_nothing(admin: httpx.AsyncClient, far_end: ScriptedServer) -> None:
    far_end.script(openai_answer)
    model = (await admin.post(PATH, json=NEW)).json()
    before = await listed(admin)
    far_end.script(lambda exchange: exchange.json({"error": {"message": "who?"}}, 401))
    await far_end_turns(far_end)
    for response in (
        await admin.post(PATH, json={**NEW, "name": "other"}),
        await admin.patch(f"{PATH}/{model['id']}", json={"is_default": True, "description": "Other."}),
    ):
        refused(response, 422, "validation_error")
    far_end.json({"data": []})
    await far_end_turns(far_end)
    refused(await admin.post(PATH, json={**NEW, "name": "other"}), 503, "provider_unavailable")
    assert await listed(admin) == before


async def far_end_turns(far_end: ScriptedServer) -> None:
    """From now on the latest script answers."""
    far_end._scripts[:] = far_end._scripts[-1:]


@pytest.mark.parametrize(
    "body",
    [
        {}, {"provider": "openai"}, {"name": "x"}, {**NEW, "provider": "cohere"}, {**NEW, "name": ""},
        {**NEW, "name": " "}, {**NEW, "name": "x" * 181}, {**NEW, "name": "a\0b"}, {**NEW, "name": "a\nb"},
        {**NEW, "description": "x" * 1001}, {**NEW, "description": "a\0b"}, {**NEW, "is_default": None},
        {"provider": "wordllama", "name": "other"}, [],
    ],
    ids=str,
)  # fmt: skip
async def test_what_is_no_model_is_refused(body: Any, rooms: Rooms) -> None:
    async with rooms.client() as client:
        refused(await client.post(PATH, json=body), 422, "validation_error")
        assert len(await listed(client)) == 1


async def test_a_change_that_fails_is_told_and_can_be_tried_again(
    admin: httpx.AsyncClient, far_end: ScriptedServer
) -> None:
    broken = True

    async def answer(exchange: Exchange) -> None:
        if broken and exchange.request.body["input"] != ["dimensions"]:
            return await exchange.json({"error": {"code": "invalid_api_key"}}, 401)
        return await openai_answer(exchange)

    far_end.script(answer)
    model = (await admin.post(PATH, json={**NEW, "is_default": True})).json()
    assert model["is_default"] is True

    async def state_is(state: str) -> bool:
        return (await listed(admin))["small"]["state"] == state

    await until(lambda: state_is("failed"))
    told = (await listed(admin))["small"]
    assert (told["progress"], bool(told["error"])) == ({"done": 0, "total": 2}, True)
    serving = (await listed(admin))[WORDS.kept]
    refused(await admin.delete(f"{PATH}/{serving['id']}"), 409, "conflict", "serves")
    broken = False
    assert (await admin.patch(f"{PATH}/{model['id']}", json={"is_default": True})).status_code == 200
    await until(lambda: state_is("serving"))
    requests = len(far_end.requests)
    assert (await admin.patch(f"{PATH}/{model['id']}", json={"is_default": True})).status_code == 200
    assert len(far_end.requests) == requests  # it is so already


async def test_an_admins_choice_outlives_a_restart_and_a_model_set_by_hand_outlives_that(
    database: Database, tmp_path: Path, far_end: ScriptedServer
) -> None:
    far_end.script(openai_answer)
    async with open_rooms(database, tmp_path, far_end.url) as rooms, rooms.client() as admin:
        await admin.post(PATH, json={**NEW, "is_default": True})
        await until(lambda: rooms.search.serving.embeddings.model == "openai:small")
    async with open_rooms(database, tmp_path, far_end.url) as rooms:
        assert rooms.work.wanted.model == rooms.search.serving.embeddings.model == "openai:small"
    spec = parse_spec("openai:large")
    async with open_rooms(database, tmp_path, far_end.url, spec, explicit=True) as rooms, rooms.client() as admin:
        assert rooms.work.wanted.model == "openai:large"
        models = await listed(admin)
        assert {name: model["is_default"] for name, model in models.items()} == {
            WORDS.kept: False, "small": False, "large": True,
        }  # fmt: skip
        await until(lambda: rooms.search.serving.embeddings.model == "openai:large")


async def test_what_another_process_made_the_default_is_followed(
    rooms: Rooms, admin: httpx.AsyncClient, far_end: ScriptedServer
) -> None:
    far_end.script(openai_answer)
    await rooms.embedding_models.look()
    assert rooms.work.wanted.model == WORDS.kept
    await settle_default(rooms.database, parse_spec("openai:small"), explicit=True, clock=_now)
    await rooms.embedding_models.look()
    await until(lambda: rooms.search.serving.embeddings.model == "openai:small")


def _now() -> datetime:
    return datetime.now(UTC)
