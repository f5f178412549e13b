"""The wire of the scripted model server: requests read, answers written, right or wrong, on asyncio's protocols."""

import asyncio
import json
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


@dataclass(frozen=True)
class Request:
    """What a client sent. `headers` have lower-case names; `at` is `time.monotonic()`, one clock for all processes."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Closed:
    """A connection that the client closed before its answer was complete. `at` is `time.monotonic()`."""

    request: Request
    at: float = field(default_factory=time.monotonic)


class Exchange:
    """One request and the wire to answer it on."""

    def __init__(self, request: Request, connection: "Connection") -> None:
        self.request = request
        self._connection = connection

    @property
    def streamed(self) -> bool:
        return bool(isinstance(self.request.body, dict) and self.request.body.get("stream"))

    async def write(self, data: bytes) -> None:
        """Bytes onto the wire as they are."""
        await self._connection.write(data)

    async def chunk(self, data: bytes) -> None:
        """One chunk of HTTP's chunked coding."""
        await self.write(b"%x\r\n%s\r\n" % (len(data), data))

    async def event(self, delta: Mapping[str, Any] | None, finish: str | None = None, **more: Any) -> None:
        """One `chat.completion.chunk`; no choices with `delta` None."""
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
        await self.chunk(sse(body | {"choices": choices} | more))

    async def end(self, finish: str = "stop") -> None:
        """The finish reason, the usage where it was asked for, [DONE], and the end of the body."""
        await self.event({}, finish)
        if (self.request.body.get("stream_options") or {}).get("include_usage"):
            await self.event(None, usage=USAGE)
        await self.chunk(b"data: [DONE]\n\n")
        await self.write(LAST_CHUNK)

    async def json(self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        await self.plain(json.dumps(value).encode(), status, {"content-type": "application/json"} | dict(headers or {}))

    async def plain(self, body: bytes, status: int, headers: Mapping[str, str]) -> None:
        head = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
        await self.write("\r\n".join([*head, f"content-length: {len(body)}", "", ""]).encode() + body)

    async def gone(self) -> None:
        """Say nothing more, until the client leaves."""
        await asyncio.get_running_loop().create_future()

    def close(self) -> None:
        """End the connection as a dying process does (FIN)."""
        self._connection.drop()

    def reset(self) -> None:
        """End the connection as a crashed host does (RST)."""
        self._connection.drop(reset=True)


Script = Callable[[Exchange], Awaitable[None]]


def sse(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


class Host(Protocol):
    """What a connection needs of its server."""

    connections: "set[Connection]"

    async def answer(self, exchange: Exchange) -> None: ...

    def note_connected(self, connection: "Connection") -> None: ...

    def note_closed(self, closed: Closed) -> None: ...


class Connection(asyncio.Protocol):
    """One client's connection: requests one after the other, no pipelining."""

    def __init__(self, server: Host) -> None:
        self._server = server
        self._buffer = b""
        self.answering: asyncio.Task[None] | None = None
        self._request: Request | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one without being derived from it
        self._server.note_connected(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next()

    def connection_lost(self, fault: Exception | None) -> None:
        self._server.connections.discard(self)
        self._writable.set()
        if self.answering is not None and self._request is not None:
            self.answering.cancel()
            self._server.note_closed(Closed(self._request))

    def drop(self, *, reset: bool = False) -> None:
        self._request = None  # it is not the client who closes
        if reset:
            wire: socket.socket = self.transport.get_extra_info("socket")
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        else:
            self.transport.close()

    async def write(self, data: bytes) -> None:
        await self._writable.wait()
        self.transport.write(data)
        await asyncio.sleep(0)

    def _next(self) -> None:
        if self.answering is not None or b"\r\n\r\n" not in self._buffer:
            return
        head, rest = self._buffer.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        body, self._buffer = rest[:length], rest[length:]
        method, path, _ = lines[0].split(" ")
        self._request = Request(method, path, headers, json.loads(body) if body else None)
        self.answering = asyncio.create_task(self._answer(self._request))

    async def _answer(self, request: Request) -> None:
        try:
            await self._server.answer(Exchange(request, self))
        except Exception:
            self.drop()  # a script with a mistake in it must not leave the client waiting
            raise
        self.answering = self._request = None
        self._next()
