"""Sockets of the ask door without a server: what they send, and what they are sent."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from starlette.types import Message, Scope

from agents.runner import Ask, RunHandle
from backend.routers.ws import AskDoor
from infrastructure.errors import NotFound
from infrastructure.event_log.entry import Entry
from infrastructure.event_log.memory import MemoryEventLog
from infrastructure.monitoring import Metrics
from infrastructure.websocket_manager import WebSocketManager
from middleware.rate_limit import CallerLimit
from services.principals import Principal, may_reach
from tests.middleware.asgi import scope_of
from tests.middleware.fake_accounts import FakeAccounts

ADDRESS = "203.0.113.7"
QUESTION = "What is a flash loan?"
Headers = list[tuple[str, str]]


class FakeRunner:
    """Runs that wait for the test to write their frames; each has its owner."""

    def __init__(self, log: MemoryEventLog) -> None:
        self.log = log
        self.asks: list[Ask] = []
        self.runs: list[str] = []
        self.cancelled: list[str] = []
        self.failure: Exception | None = None

    async def start(self, ask: Ask) -> RunHandle:
        if self.failure is not None:
            raise self.failure
        self.asks.append(ask)
        run_id = str(uuid4())
        self.runs.append(run_id)
        self.log.open(run_id, ask.owner)
        self.say(run_id, "streaming")
        return RunHandle(run_id, ask.session_id)

    async def require(self, run_id: str, owner: str | None) -> None:
        if not may_reach(self.log.owner(run_id), owner):
            raise NotFound("No such run.")

    async def cancel(self, run_id: str) -> None:
        self.cancelled.append(run_id)

    def say(self, run_id: str, word: str, *, last: bool = False) -> None:
        seq = self.log.last_seq(run_id) + 1
        data = json.dumps({"type": "word", "content": word, "run_id": run_id, "seq": seq}).encode()
        self.log.append(run_id, Entry(seq, data, word, last))


class Client:
    """A browser's end of a socket, over plain ASGI."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self._to_server: asyncio.Queue[Message] = asyncio.Queue()
        self._to_client: asyncio.Queue[Message] = asyncio.Queue()
        self._to_server.put_nowait({"type": "websocket.connect"})

    async def receive(self) -> Message:
        return await self._to_server.get()

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        self._to_client.put_nowait(message)
        if message["type"] == "websocket.close":
            self.leave()

    def say(self, **frame: Any) -> None:
        self._to_server.put_nowait({"type": "websocket.receive", "text": json.dumps(frame)})

    def leave(self) -> None:
        self._to_server.put_nowait({"type": "websocket.disconnect", "code": 1000})

    async def message(self) -> Message:
        return await asyncio.wait_for(self._to_client.get(), 30)

    async def next(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads((await self.message())["text"])
        return frame

    async def closed(self) -> int:
        while (message := await self.message())["type"] != "websocket.close":
            pass
        return int(message["code"])


class Service:
    """What the door needs, with fakes for the accounts and for the runner."""

    def __init__(self, required: bool = False) -> None:
        self.metrics = metrics = Metrics("1")
        self.accounts = FakeAccounts(
            alice=Principal("u-alice", False, "login:1", time.time() + 3600),
            again=Principal("u-alice", False, "login:2", time.time() + 3600),
            brief=Principal("u-alice", False, "login:3", time.time() + 0.05),
            ask_bob=Principal("u-bob", False, "key:1"),
        )
        self.log = MemoryEventLog()
        self.runner = FakeRunner(self.log)
        self.limit = CallerLimit(100, 60)
        self.websockets = WebSocketManager(metrics, max_per_address=9, heartbeat_seconds=30.0, send_timeout=10.0)
        self.accounts.listen(self.websockets.revoke)
        settings = SimpleNamespace(
            allowed_origins=(), auth_required=required, ws_heartbeat_seconds=30.0, question_max_chars=2000,
            rate_limit_requests_per_minute=100, rate_limit_window_seconds=60,
        )  # fmt: skip
        self.parts = SimpleNamespace(
            accounts=self.accounts, settings=settings, metrics=metrics, runner=self.runner, event_log=self.log,
            limit=self.limit, websockets=self.websockets, sent_frames=metrics.ws_messages.labels("out", "run"),
            new_id=lambda: str(uuid4()),
        )  # fmt: skip

    def scope(self, headers: Headers = [], *offered: str) -> Scope:  # noqa: B006  never changed
        app = SimpleNamespace(state=SimpleNamespace(container=self.parts))
        scope = scope_of("/ws/ask", kind="websocket", headers=headers, caller=ADDRESS)
        return scope | {"app": app, "extensions": {}, "subprotocols": list(offered)}

    @asynccontextmanager
    async def connect(self, *offered: str, headers: Headers = [], **door: Any) -> AsyncIterator[Client]:  # noqa: B006
        client = Client()
        door_task = asyncio.create_task(
            AskDoor("/ws/ask", **door)(self.scope(headers, *offered), client.receive, client.send)
        )
        accepted = await client.message()
        assert accepted["type"] == "websocket.accept"
        try:
            yield client
        finally:
            client.leave()
            await asyncio.wait_for(door_task, 30)

    @asynccontextmanager
    async def signed_in(self, who: str = "alice") -> AsyncIterator[Client]:
        async with self.connect(f"bearer.{who}") as client:
            assert (await client.next())["status"] == "connected"
            yield client


async def answered(client: Client, code: str) -> None:
    frame = await client.next()
    assert (frame["type"], frame.get("code")) == ("error", code)


async def asked(client: Client, **more: Any) -> str:
    """Ask, and return the run's id."""
    client.say(type="question", question=QUESTION, **more)
    return str((await client.next())["run_id"])
