"""How an Ollama server tells of a pull, as scripts for the scripted server."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.model_wire import LAST_CHUNK, Exchange, Script

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
LAYER = "sha256:dde5aa3fc5ff"


def layer(done: int, total: int = 1000, digest: str = LAYER) -> dict[str, Any]:
    return {"status": f"pulling {digest[7:]}", "digest": digest, "total": total, "completed": done}


def pulling(*lines: Any, then: Callable[[], Awaitable[object]] | None = None, end: bool = True) -> Script:
    """Lines of progress (bytes as they are), each a chunk; then a wait, and with `end` the success."""

    async def answer(exchange: Exchange) -> None:
        await exchange.write(HEAD)
        for line in ({"status": "pulling manifest"}, *lines):
            await exchange.chunk(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
        if then is not None:
            await then()
        if end:
            await exchange.chunk(b'{"status": "success"}\n')
        await exchange.write(LAST_CHUNK)

    return answer


class Ollama:
    """Answers by path: what was pulled, the version, and one script for each pull."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.pulls: list[Script] = []
        self.asked: list[Any] = []

    async def __call__(self, exchange: Exchange) -> None:
        path = exchange.request.path
        if path == "/api/pull":
            self.asked.append(exchange.request.body)
            return await self.pulls.pop(0)(exchange)
        if path == "/api/tags":
            return await exchange.json({"models": [{"name": name} for name in self.names]})
        if path == "/v1/chat/completions":
            return await exchange.json({"error": {"message": "not found"}}, 404)
        return await exchange.json({"version": "0.12.3"})


async def ended(*tasks: asyncio.Task[None] | None) -> None:
    async with asyncio.timeout(30):
        await asyncio.gather(*(task for task in tasks if task is not None))
