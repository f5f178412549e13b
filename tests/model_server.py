"""A scripted far end: an OpenAI-compatible model server that speaks real HTTP on a real port.

    async with ModelServer() as server:
        server.tokens(["Hello", " world"])      # the first answer
        server.status(429, {"Retry-After": "1"})  # the second and, as the last one, every further answer
        ... OpenAIProvider(base_url=server.url, ...)
        assert server.requests[0].body["stream"]

Whatever can go wrong on a wire can be scripted. It is written on asyncio's protocols, so that broken HTTP can be sent,
and the test's own loop drives it, whether the client is in this process or in another.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import count
from typing import Any, Self

from tests.model_wire import LAST_CHUNK, STREAM_HEAD, USAGE, Closed, Connection, Exchange, Request, Script


class Gate:
    """Lets a stream go on piece by piece."""

    def __init__(self) -> None:
        self._passes = asyncio.Semaphore(0)
        self._open = False

    def release(self, pieces: int = 1) -> None:
        for _ in range(pieces):
            self._passes.release()

    def open(self) -> None:
        """Hold nothing back from now on."""
        self._open = True
        self.release()

    async def wait(self) -> None:
        await self._passes.acquire()
        if self._open:
            self._passes.release()


class ModelServer:
    """See the module. Scripts answer in the order in which they were queued; the last one goes on answering."""

    def __init__(self) -> None:
        self.requests: list[Request] = []  # of chat completions
        self.connections: set[Connection] = set()
        self.connected = 0  # connections ever made
        self.open_streams = 0
        self.url = ""  # http://127.0.0.1:<port>/v1
        self._scripts: list[Script] = []
        self._closed: asyncio.Queue[Closed] = asyncio.Queue()
        self._arrived = asyncio.Condition()
        self._connected = asyncio.Event()
        self._calls = count(1)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(lambda: Connection(self), "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
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

    def stop_listening(self) -> None:
        """Refuse new connections from now on and drop those that wait for a next request."""
        self._server.close()
        for connection in list(self.connections):
            if connection.answering is None:
                connection.drop()

    @property
    def listens(self) -> bool:
        return bool(self._server.is_serving())

    async def listen_again(self) -> None:
        """Take connections on the same port again."""
        port = int(self.url.rsplit(":", 1)[1].removesuffix("/v1"))
        self._server = await asyncio.get_running_loop().create_server(lambda: Connection(self), "127.0.0.1", port)

    # What happens

    async def closed(self) -> Closed:
        """The next connection that a client closed in the middle of its answer."""
        return await self._closed.get()

    async def asked(self, times: int = 1) -> Request:
        """Wait until that many chat completions were asked for; the last of them."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= times)
        return self.requests[times - 1]

    async def connection(self) -> None:
        """Wait until there is a connection."""
        await self._connected.wait()

    def note_connected(self, connection: Connection) -> None:
        self.connections.add(connection)
        self.connected += 1
        self._connected.set()

    def note_closed(self, closed: Closed) -> None:
        self._closed.put_nowait(closed)

    async def answer(self, exchange: Exchange) -> None:
        """Route one request."""
        path = exchange.request.path.split("?")[0]
        if path.endswith("/models"):
            await exchange.json({"object": "list", "data": [{"id": "scripted", "object": "model"}]})
        elif path.endswith("/embeddings"):
            await exchange.json(_embeddings(exchange.request.body))
        elif path.endswith("/chat/completions"):
            await self._chat(exchange)
        else:
            await exchange.json({"error": {"message": "no such route"}}, 404)

    async def _chat(self, exchange: Exchange) -> None:
        script = self._scripts.pop(0) if len(self._scripts) > 1 else (self._scripts or [_hello])[0]
        self.requests.append(exchange.request)
        async with self._arrived:
            self._arrived.notify_all()
        self.open_streams += 1
        try:
            await script(exchange)
        finally:
            self.open_streams -= 1

    # Scripts

    def gate(self) -> Gate:
        return Gate()

    def script(self, *scripts: Script) -> None:
        """Queue coroutine functions of an `Exchange`."""
        self._scripts.extend(scripts)

    def clear(self) -> None:
        """Forget all scripts."""
        self._scripts.clear()

    def reply(self, text: str = "Hello from the model.", *, delay: float = 0.0) -> None:
        """The whole text in one event, after `delay` seconds."""
        self.tokens([text], gap=delay)

    def tokens(
        self, tokens: Sequence[str], *, gap: float = 0.0, gate: Gate | None = None, finish: str = "stop"
    ) -> None:
        """An answer, each token one event and one write, `gap` seconds before each, or at a gate's release."""

        async def answer(exchange: Exchange) -> None:
            if not exchange.streamed:
                return await exchange.json(_whole({"content": "".join(tokens)}, finish))
            await exchange.write(STREAM_HEAD)
            for token in tokens:
                await (gate.wait() if gate else asyncio.sleep(gap))
                await exchange.event({"content": token})
            return await exchange.end(finish)

        self.script(answer)

    def tool_call(self, name: str, arguments: Mapping[str, Any] | str, *, text: str = "", pieces: int = 2) -> None:
        """An answer that calls one tool; its arguments come in `pieces` deltas. Ids are call_1, call_2, …"""
        written = arguments if isinstance(arguments, str) else json.dumps(arguments)

        async def answer(exchange: Exchange) -> None:
            call_id = f"call_{next(self._calls)}"
            call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": written}}
            if not exchange.streamed:
                return await exchange.json(_whole({"content": text or None, "tool_calls": [call]}, "tool_calls"))
            await exchange.write(STREAM_HEAD)
            if text:
                await exchange.event({"content": text})
            begun = call | {"index": 0, "function": {"name": name, "arguments": ""}}
            await exchange.event({"role": "assistant", "content": None, "tool_calls": [begun]})
            size = max(1, -(-len(written) // pieces))
            for start in range(0, len(written), size):
                piece = {"index": 0, "function": {"arguments": written[start : start + size]}}
                await exchange.event({"tool_calls": [piece]})
            return await exchange.end("tool_calls")

        self.script(answer)

    def tools_forever(self, name: str, arguments: Mapping[str, Any] | str) -> None:
        """From now on every answer calls the tool."""
        self.clear()
        self.tool_call(name, arguments)

    def status(self, status: int, headers: Mapping[str, str] | None = None, body: Any = None) -> None:
        """An answer of that status; `body` is bytes, or becomes JSON."""
        kind = {"content-type": "application/json"} | dict(headers or {})
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.script(lambda exchange: exchange.plain(data, status, kind))

    def redirect(self, location: str) -> None:
        self.status(307, {"location": location})

    def body(self, *chunks: bytes, content_type: str = "text/event-stream") -> None:
        """A stream whose body is these bytes, each a chunk and a write, with a proper end."""

        async def answer(exchange: Exchange) -> None:
            await exchange.write(STREAM_HEAD.replace(b"text/event-stream", content_type.encode()))
            for chunk in chunks:
                await exchange.chunk(chunk)
            await exchange.write(LAST_CHUNK)

        self.script(answer)

    def raw(self, *writes: bytes, close: bool = True) -> None:
        """These bytes instead of any HTTP, then the end of the connection, or silence."""

        async def answer(exchange: Exchange) -> None:
            for data in writes:
                await exchange.write(data)
            if not close:
                await _for_ever()
            exchange.close()

        self.script(answer)

    def cut(self, tokens: Sequence[str] = (), *, gate: Gate | None = None, reset: bool = False) -> None:
        """Some tokens, then (at the gate's release) the connection ends in the middle of the body."""

        async def answer(exchange: Exchange) -> None:
            if tokens:
                await exchange.write(STREAM_HEAD)
                for token in tokens:
                    await exchange.event({"content": token})
            if gate:
                await gate.wait()
            if reset:
                exchange.reset()
            else:
                exchange.close()

        self.script(answer)

    def reset(self, tokens: Sequence[str] = (), *, gate: Gate | None = None) -> None:
        """Some tokens, then a reset. Without a gate it may overtake the tokens, as resets do."""
        self.cut(tokens, gate=gate, reset=True)

    def hang(self, tokens: Sequence[str] | None = None) -> None:
        """Nothing at all, or, where `tokens` are given (also none), a beginning and then nothing more."""

        async def answer(exchange: Exchange) -> None:
            if tokens is not None:
                await exchange.write(STREAM_HEAD)
                for token in tokens:
                    await exchange.event({"content": token})
            await _for_ever()

        self.script(answer)

    def drip(self, data: bytes = b": still here\n", *, every: float = 0.01, tokens: Sequence[str] = ()) -> None:
        """Some tokens, then `data` byte by byte, again and again, without end."""

        async def answer(exchange: Exchange) -> None:
            await exchange.write(STREAM_HEAD)
            for token in tokens:
                await exchange.event({"content": token})
            while True:
                for byte in data:
                    await exchange.chunk(bytes([byte]))
                    await asyncio.sleep(every)

        self.script(answer)


async def _hello(exchange: Exchange) -> None:
    if not exchange.streamed:
        return await exchange.json(_whole({"content": "Hello from the model."}, "stop"))
    await exchange.write(STREAM_HEAD)
    await exchange.event({"content": "Hello from the model."})
    return await exchange.end()


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()


def _whole(message: Mapping[str, Any], finish: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "scripted", "choices": [choice], "usage": USAGE}


def _embeddings(body: Mapping[str, Any], dimensions: int = 64) -> dict[str, Any]:
    """A vector for each input that depends on nothing but its text."""
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    data = []
    for index, text in enumerate(texts):
        digest = blake2b(str(text).encode(), digest_size=dimensions).digest()
        data.append({"object": "embedding", "index": index, "embedding": [byte / 127.5 - 1.0 for byte in digest]})
    return {"object": "list", "model": body.get("model"), "data": data, "usage": USAGE}
