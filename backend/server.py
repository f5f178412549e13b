"""uvicorn, with two habits changed: SIGTERM drains before it closes, and a WebSocket can be written to directly.

As it is, uvicorn closes every socket at once on SIGTERM and waits in `send` for ever on a peer that does not read.
What is changed in its HTTP protocol is in `backend.http_protocol`.
"""

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, cast

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.server import ServerProtocol

from backend.http_protocol import BoundedHttp, refusal_fields
from backend.settings import Settings

PEER = "askgraph.peer"  # where a WebSocket's scope["extensions"] holds the protocol
MAX_MESSAGE_BYTES = 64 * 1024
CLOSE_FRAME_LIMIT = 123  # bytes of reason that fit into a close frame (RFC 6455, 5.5.1)
FORCE_POLL_SECONDS = 0.1  # uvicorn tells of a second signal by a flag, not by an event

NO_HANDSHAKE = "This is not a valid WebSocket handshake."
QUIET = "websocket"  # a logger that says faults only: the libraries log query strings, and at DEBUG what is said

Drain = Callable[[], Awaitable[None]]


class _Handshake(ServerProtocol):
    """websockets' protocol, turning handshakes down in the shape that all errors have."""

    def reject(self, status: Any, text: str) -> Response:
        """The response to send; `text`, which may repeat what the client sent, is not used."""
        headers, body = refusal_fields(int(status), NO_HANDSHAKE)
        return Response(int(status), HTTPStatus(status).phrase, Headers(headers), body)


class DirectWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's protocol, lending itself to the application as a `Peer`.

    Text messages are framed here by RFC 6455, section 5.2: FIN and opcode 1, unmasked, no extension in use.
    """

    last_seen = 0.0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.logger = logging.getLogger(QUIET)
        self.conn = _Handshake(max_size=self.config.ws_max_size, logger=self.logger)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.last_seen = self.loop.time()

    def data_received(self, data: bytes) -> None:
        self.last_seen = self.loop.time()
        super().data_received(data)
        if not self.handshake_initiated:  # too many or too long headers: the answer is made, but nobody sends it
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def handle_ping(self) -> None:
        """Answer a ping, but not one of a peer that does not read: its pongs would pile up here."""
        output = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self.transport.write(output)

    def send_receive_event_to_app(self) -> None:
        """Pass a message on; one that is not UTF-8 closes with 1007, and is no fault of ours to log."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.send_close(1007)
                return self.handle_parser_exception()
        super().send_receive_event_to_app()
        return None

    async def run_asgi(self) -> None:
        extensions: dict[str, Any] = cast(Any, self.scope["extensions"])
        extensions[PEER] = self
        await super().run_asgi()

    def write(self, frames: Sequence[bytes]) -> None:
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return
        if len(frames) == 1:
            data = frames[0]
            self.transport.write(text_header(len(data)) + data)
            return
        parts: list[bytes] = []
        for data in frames:
            parts += (text_header(len(data)), data)
        self.transport.write(b"".join(parts))

    def ping(self) -> None:
        if not (self.close_sent or self.disconnected or self.transport.is_closing()):
            self.conn.send_ping(b"")
            self.transport.write(b"".join(self.conn.data_to_send()))

    def close(self, code: int, reason: str, abort_after: float) -> None:
        if self.disconnected or self.close_sent:
            return
        self.conn.send_close(code, reason[:CLOSE_FRAME_LIMIT])
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(abort_after, self.transport.abort)


def text_header(length: int) -> bytes:
    """The header of an unmasked text message of `length` bytes."""
    if length < 126:
        return b"\x81%c" % length
    if length < 65536:
        return b"\x81\x7e" + struct.pack("!H", length)
    return b"\x81\x7f" + struct.pack("!Q", length)


class Server(uvicorn.Server):
    """On SIGTERM or SIGINT: readiness off and drain first, sockets and listeners after; then exit status 0."""

    def __init__(self, config: uvicorn.Config, drain: Drain) -> None:
        super().__init__(config)
        self._drain = drain

    async def shutdown(self, sockets: Any = None) -> None:
        draining = asyncio.ensure_future(self._drain())
        while not draining.done() and not self.force_exit:
            await asyncio.wait({draining}, timeout=FORCE_POLL_SECONDS)
        draining.cancel()
        await super().shutdown(sockets)
        self._captured_signals.clear()  # the signal was an order, and it is carried out


def serve(app: Any, settings: Settings, drain: Drain) -> None:
    """Serve `app` until a signal ends it.

    `drain` is awaited first on a signal, while the listeners still answer (so that readiness can say 503).
    """
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=BoundedHttp,
        ws=cast(Any, DirectWebSocket),
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        lifespan="on",
        timeout_graceful_shutdown=5,
    )
    Server(config, drain).run()
