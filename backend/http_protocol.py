"""uvicorn's HTTP protocol with the bounds that it lacks: a head has so many bytes and so many seconds, and a client
that does not read an answer is let go. And with better manners when the process leaves.

What is no HTTP at all gets the one shape that all errors have; no application is there yet that could give it.
"""

import asyncio
import socket
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, cast
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from infrastructure.error_handlers import STATUS_OF_KIND, error_body

MAX_HEAD_BYTES = 64 * 1024  # request line and headers together
HEAD_SECONDS = 10.0  # from a request's first byte (or the connection) to the end of its head
LINGER_SECONDS = 2.0  # how long what is still coming is thrown away: closing at once would throw away our answer
SOCKET_SEND_BYTES = 128 * 1024  # the kernel's part of what a peer that stopped reading can cost
SEND_SECONDS = 30.0  # how long a client may leave an answer unread
IDLE_SECONDS = 1.0  # what an idle connection has for one more request when the process leaves
ABORT = "askgraph.abort"  # where scope["extensions"] holds what cuts the connection, unsent bytes and all
NOT_HTTP = "This is not a valid HTTP request."
TOO_LARGE = f"The request's head is larger than {MAX_HEAD_BYTES} bytes."
KIND_OF_STATUS = {status: kind for kind, status in STATUS_OF_KIND.items() if status < 500}


def refusal_fields(status: int, detail: str) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and body of an error that is told outside of the application."""
    request_id = str(uuid4())
    body = error_body(KIND_OF_STATUS.get(status, "bad_request"), status, detail, request_id)
    headers = [
        ("date", formatdate(usegmt=True)),
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("x-request-id", request_id),
        ("connection", "close"),
    ]
    return headers, body


class _HeadTooLarge(Exception):
    """Raised inside the parser's callbacks: it stops."""


class LeavingState(ServerState):
    """What connections know of their server. While it is `leaving` each answer is its connection's last."""

    leaving = False


class BoundedHttp(HttpToolsProtocol):
    """One HTTP connection."""

    head_seconds = HEAD_SECONDS
    send_seconds = SEND_SECONDS
    idle_seconds = IDLE_SECONDS
    _head_bytes = 0
    _in_head = True
    _too_large = False
    _refused = False
    _head_timer: asyncio.TimerHandle | None = None
    _send_timer: asyncio.TimerHandle | None = None

    def retire(self) -> None:
        """The process leaves: close after the answer that is under way. One that is idle, or new, is not closed at
        once, since a request may be on its way that would be lost: if it comes soon it is answered, as the last.
        """
        if self._idle:
            self.loop.call_later(self.idle_seconds, self._close_idle)
        else:
            self._end_with_this()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_SEND_BYTES)
        self._await_head()
        if self._leaving:
            self.retire()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        self._was_read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._send_timer = self.loop.call_later(self.send_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._was_read()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self._refused:
            self._too_large = True  # one header without an end: the parser has not shown any of it
            self.send_400_response(TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: cast(Any, self.transport.abort)}
        self._parsed_bytes = 0
        if self._head_timer is None:
            self._await_head()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)  # with colon, space and line end
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_arrived()
        super().on_headers_complete()
        if self._leaving:
            self._end_with_this()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head = True
        self._head_bytes = 0

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong in the shape that all errors have; uvicorn's own text is not used."""
        self._refused = True
        self._head_arrived()
        status = 431 if self._too_large else 400
        headers, body = refusal_fields(status, TOO_LARGE if self._too_large else NOT_HTTP)
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers)]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    @property
    def _leaving(self) -> bool:
        return bool(getattr(self.server_state, "leaving", False))  # uvicorn's own server does not say

    @property
    def _idle(self) -> bool:
        """No answer is under way, and no part of a request is here."""
        answered = self.cycle is None or self.cycle.response_complete
        return answered and self._in_head and not self._head_bytes

    def _close_idle(self) -> None:
        if self._idle:
            self.transport.close()

    def _end_with_this(self) -> None:
        if self.cycle is not None:  # the newest; those before it on this connection are answered first
            self.cycle.keep_alive = False

    def _count(self, size: int) -> None:
        self._parsed_bytes += size
        if self._parsed_bytes > MAX_HEAD_BYTES:
            self._too_large = True
            raise _HeadTooLarge

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._head_is_late)

    def _head_arrived(self) -> None:
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _was_read(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def _head_is_late(self) -> None:
        """Close, unless an earlier request on this connection still has its answer written."""
        self._head_timer = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self._await_head()
