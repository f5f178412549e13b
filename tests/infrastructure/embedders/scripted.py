"""A scripted far end that answers JSON bodies with JSON bodies, over real HTTP on a real port."""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from tests.model_wire import Closed, Connection, Exchange, Request, Script


class ScriptedServer:
    """Scripts answer in the order in which they were queued; the last one goes on answering."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.connections: set[Connection] = set()
        self.closed: asyncio.Queue[Closed] = asyncio.Queue()
        self.arrived = asyncio.Event()
        self.url = ""  # http://127.0.0.1:<port>
        self._scripts: list[Script] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(lambda: Connection(self), "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        answering = [connection.answering for connection in self.connections if connection.answering is not None]
        for connection in list(self.connections):
            connection.drop(reset=True)
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)
        await self._server.wait_closed()

    def note_connected(self, connection: Connection) -> None:
        self.connections.add(connection)

    def note_closed(self, closed: Closed) -> None:
        self.closed.put_nowait(closed)

    async def answer(self, exchange: Exchange) -> None:
        self.requests.append(exchange.request)
        self.arrived.set()
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        await script(exchange)

    def script(self, *scripts: Script) -> None:
        self._scripts.extend(scripts)

    def json(self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.script(lambda exchange: exchange.json(value, status, headers))

    def plain(self, body: bytes) -> None:
        self.script(lambda exchange: exchange.plain(body, 200, {"content-type": "application/json"}))

    def hang(self) -> None:
        async def never(_: Exchange) -> None:
            await asyncio.get_running_loop().create_future()

        self.script(never)

    def cut(self) -> None:
        """Half an answer, then the end of the connection."""

        async def half(exchange: Exchange) -> None:
            await exchange.write(b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"data": [')
            exchange.close()

        self.script(half)


def vector(text: str) -> list[float]:
    """Letter counts: a small embedding that depends on nothing but its text. Not of norm 1."""
    return [float(text.lower().count(letter)) for letter in "abcdefghij"]


def unit(text: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """What `vector` becomes."""
    found = np.array(vector(text))
    return np.asarray(found / (np.linalg.norm(found) or 1.0), np.float32)


def packed(numbers: Sequence[float]) -> str:
    return base64.b64encode(np.array(numbers, "<f4").tobytes()).decode()


async def openai_answer(exchange: Exchange) -> None:
    """As OpenAI answers, in the encoding that was asked for."""
    body = exchange.request.body
    encode = packed if body.get("encoding_format") == "base64" else list
    data = [{"index": n, "embedding": encode(vector(text))} for n, text in enumerate(body["input"])]
    await exchange.json({"object": "list", "data": data, "model": body["model"]})


async def ollama_answer(exchange: Exchange) -> None:
    body = exchange.request.body
    await exchange.json({"model": body["model"], "embeddings": [vector(text) for text in body["input"]]})
