"""A far end for the terminal client: a WebSocket server that plays a part for each connection."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from backend.terminal.address import parse_address
from backend.terminal.question import Question
from backend.terminal.service import Service

Part = Callable[["Far"], Awaitable[None]]


class Far:
    """The server's end of one connection."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection

    async def hear(self) -> dict[str, Any]:
        heard: dict[str, Any] = json.loads(await self.connection.recv())
        return heard

    async def say(self, *frames: dict[str, Any]) -> None:
        for frame in frames:
            await self.connection.send(json.dumps(frame))


class Stage:
    """Plays one part for each connection, in order."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.heard: list[dict[str, Any]] = []
        self.headers: list[str] = []
        self.service: Service

    async def play(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.headers.append(connection.request.headers.get("Authorization", ""))
        far = Far(connection)
        await far.say({"type": "status", "status": "connected", "details": {}})
        self.heard.append(await far.hear())
        await self.parts.pop(0)(far)


@asynccontextmanager
async def on_stage(*parts: Part, key: str | None = None) -> AsyncIterator[Stage]:
    stage = Stage()
    stage.parts = list(parts)
    async with serve(stage.play, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with Service(parse_address(f"http://127.0.0.1:{port}"), key) as stage.service:
            yield stage


def word(seq: int, run_id: str = "r") -> dict[str, Any]:
    return {"type": "word", "content": f"w{seq} ", "run_id": run_id, "seq": seq}


def complete(seq: int, answer: str = "", run_id: str = "r") -> dict[str, Any]:
    return {"type": "complete", "answer": answer, "run_id": run_id, "seq": seq, "citations": []}


def says(*frames: dict[str, Any], close: int | None = None) -> Part:
    async def part(far: Far) -> None:
        await far.say(*frames)
        if close is not None:
            await far.connection.close(close)
        else:
            await far.connection.wait_closed()

    return part


async def cut(far: Far) -> None:
    far.connection.transport.abort()


def asked() -> Question:
    return Question("What is it?", "5f0c0f52-0d7c-4a52-8f7d-1c2f3a4b5c6d")
