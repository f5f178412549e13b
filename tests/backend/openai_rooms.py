"""The OpenAI-compatible routes in a small application: a model that is told what to say, and the embedder that comes
with the service.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter
from starlette.types import ASGIApp, Receive, Scope, Send

from agents.models import ModelBook, Offer
from agents.ports import Model
from backend.openai_completions import Completions
from backend.routers import openai
from infrastructure.database.models import new_id
from infrastructure.embedders.wordllama import WordLlamaEmbedder
from infrastructure.error_handlers import install_error_handlers
from infrastructure.errors import RateLimited
from infrastructure.providers.types import Usage
from services.embeddings import Embeddings
from services.principals import ANONYMOUS
from tests.agents.fakes import ScriptedModel, Turn, extractive, says

OFFERS = (
    Offer("openai", "scripted-1", True), Offer("openai", "scripted-2"), Offer("ollama", "scripted-1"),
    Offer("ollama", "askgraph"), Offer("extractive", "extractive"),
)  # fmt: skip


class Counted:
    """A budget that is a list of what was counted: caller, model, usage, questions. `used_up`: nothing is left."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str, Usage, int]] = []
        self.used_up = False

    async def check(self, caller: str) -> None:
        if self.used_up:
            raise RateLimited(f"Nothing is left for {caller}.", retry_after=3600.0)

    def note(self, caller: str, model: str, usage: Usage, questions: int = 1) -> None:
        self.notes.append((caller, model, usage, questions))


class OpenAIRooms:
    """What the routes take from the container, but for runs. All models are one, which answers with `turns`."""

    def __init__(self, *turns: Turn, patterns: tuple[str, ...] = (), embeddings: Embeddings | None = None) -> None:
        self.model = ScriptedModel(*(turns or (says("Hello ", "there."),)))
        self.opened: list[tuple[str, str, bool]] = []
        self.told: list[str] = []
        self.runner = SimpleNamespace(draining=False)
        self.budgets = Counted()
        self.principal = ANONYMOUS
        embedder = embeddings or Embeddings(WordLlamaEmbedder())
        self.container = SimpleNamespace(
            tracing=None,
            settings=SimpleNamespace(sse_comment_seconds=15.0, ws_send_timeout_seconds=10.0),
            metrics=SimpleNamespace(dropped=Counter("dropped", "Readers let go.", registry=CollectorRegistry())),
            models=SimpleNamespace(book=ModelBook(self.model, OFFERS, patterns, self._open)),
            search=SimpleNamespace(serving=SimpleNamespace(embeddings=embedder)),
            runner=self.runner,
            budgets=self.budgets,
            completions=Completions(),
            new_id=new_id,
        )

    @property
    def app(self) -> ASGIApp:
        app = FastAPI()
        install_error_handlers(app, self.told.append)
        app.include_router(openai.router)
        app.state.container = self.container

        async def called(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = {"caller": "203.0.113.7", "principal": self.principal, "request_id": "r1"}
            await app(scope, receive, send)

        return called

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service.test/v1") as client:
            yield client

    def _open(self, provider: str, model: str, alone: bool) -> Model:
        self.opened.append((provider, model, alone))
        if provider == "nowhere":
            raise KeyError(provider)
        return extractive() if provider == "extractive" else self.model


def ask(**more: Any) -> dict[str, Any]:
    return {"model": "scripted-1", "messages": [{"role": "user", "content": "Hello?"}]} | more
