"""The chat routes in a small application: the real services and runner over a database, and a model that is told what
to say.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter
from starlette.types import ASGIApp, Receive, Scope, Send

from agents.generation import Generation
from agents.graph import AnswerGraph, GraphSettings
from agents.keeping import Keeper
from agents.preparing import Preparation
from agents.runner import RunLimits, Runner
from agents.state import RunContext
from agents.toolbox import Toolbox
from backend.routers import chats, messages
from infrastructure.chat_feed.memory import MemoryChatFeed
from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from infrastructure.error_handlers import install_error_handlers
from infrastructure.event_log.memory import MemoryEventLog
from services.chats import Chats
from services.conversations import Conversations
from services.knowledge.grounding import Citation, Grounder
from services.knowledge.scopes import Scopes
from services.knowledge.search import Retrieval
from services.knowledge.text import TextAnalysis
from services.principals import ANONYMOUS, Principal
from services.sessions import SessionManager
from tests.agents.fakes import Counted, ScriptedModel, Turn, extractive, found, passage, says

CHATS = "/api/v1/chats"
ROUTERS = (chats.router, messages.router)


class _Queries:
    def __init__(self) -> None:
        self.queries = Counter("agent_queries", "Questions asked.", registry=CollectorRegistry())


class _MadeUp:
    """Takes citations as they are: the passages here are of no document."""

    def mark(self) -> int:
        return 0

    async def check(self, citations: Sequence[Citation], since: int) -> list[Citation]:
        return list(citations)


class ChatRooms:
    """What the routes take from the container. `model` answers with `turns`."""

    def __init__(self, database: Database, *turns: Turn, fall_back: bool = True) -> None:
        self.database = database
        self.metrics = _Queries()
        self.model = ScriptedModel(*(turns or (says("Paris is the capital of France. [1]"),)))
        self.event_log = MemoryEventLog()
        self.feed = MemoryChatFeed()
        self.published: list[tuple[str, str, dict[str, Any]]] = []
        self.chats = Chats(database, clock=_now, publish=lambda *what: self.published.append(what))
        self.conversations = Conversations(database, clock=_now)
        self.sessions = SessionManager(self.conversations)
        generation = Generation(self.model, extractive(), Toolbox((), seconds=5.0), fall_back)
        clock = lambda: _now().timestamp()  # noqa: E731  two take it
        self.runner = Runner(
            AnswerGraph(
                _find,
                generation,
                Grounder(TextAnalysis()).ground,
                _MadeUp(),
                GraphSettings(0.8, 0.5),
            ),
            self.event_log,
            self.sessions,
            Keeper(self.conversations, self.feed, new_id=new_id, clock=clock, worker="test"),
            Preparation(Scopes(database)),
            Counted(),
            limits=RunLimits(),
            concurrency="queue",
            new_id=new_id,
            clock=clock,
        )

    @asynccontextmanager
    async def client(self, user: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """A client whose requests are `user`'s."""
        app = FastAPI()
        app.state.container = self
        install_error_handlers(app, lambda kind: None)
        for router in ROUTERS:
            app.include_router(router)
        transport = httpx.ASGITransport(_AsUser(app, user))
        async with httpx.AsyncClient(transport=transport, base_url="http://service.test") as client:
            yield client
        await self.runner.drain(5.0)
        await self.conversations.aclose()


class _AsUser:
    """Where the real service has its middleware."""

    def __init__(self, app: ASGIApp, user: str | None) -> None:
        self._app = app
        self._principal = Principal(user) if user else ANONYMOUS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"caller": "203.0.113.7", "principal": self._principal, "request_id": uuid4().hex}
        await self._app(scope, receive, send)


async def _find(context: RunContext) -> Retrieval:
    return found(passage())


def _now() -> datetime:
    return datetime.now(UTC)


async def made(client: httpx.AsyncClient, **fields: Any) -> str:
    """The id of a new chat."""
    response = await client.post(CHATS, json=fields)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])
