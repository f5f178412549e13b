"""uvicorn, with two habits changed: SIGTERM drains before it closes, and a WebSocket can be written to directly.

As it is, uvicorn closes every socket at once on SIGTERM and waits in `send` for ever on a peer that does not read.
What is changed in its HTTP protocol is in `backend.http_protocol`, how several processes share a port in
`backend.accepting` and `backend.workers`.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from backend.accepting import Acceptor, CountedConnections, Seat
from backend.http_protocol import IDLE_SECONDS, BoundedHttp, LeavingState, refusal_fields
from backend.settings import Settings

PEER = "askgraph.peer"  # where a WebSocket's scope["extensions"] holds the protocol
MAX_MESSAGE_BYTES = 64 * 1024
CLOSE_FRAME_LIMIT = 123  # bytes of reason that fit into a close frame (RFC 6455, 5.5.1)
FORCE_POLL_SECONDS = 0.1  # uvicorn tells of a second signal by a flag, not by an event
BEGIN_SECONDS = 0.5  # from a last request's coming to its run's beginning
READY_POLL_SECONDS = 0.05

NO_HANDSHAKE = "This is not a valid WebSocket handshake."
QUIET = "websocket"  # a logger that says faults only: the libraries log query strings, and at DEBUG what is said


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
        try:
            await super().run_asgi()
        finally:
            del extensions[PEER]

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave memory at once, and not with a collection of the old, which comes once in hours."""
        super().connection_lost(exc)
        self.conn.parser.close()  # a generator of the protocol's, which has the protocol

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
        if self.disconnected or self.close_sent or self.conn.state is not State.OPEN:  # the peer may have been quicker
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


@dataclass(frozen=True, slots=True)
class Life:
    """What the server asks of the application as it comes and goes. The application is up whenever it is asked."""

    app: Any

    @property
    def ready(self) -> bool:
        """The knowledge is loaded."""
        return bool(self.app.state.container.indexer.loaded)

    def leave(self) -> None:
        """Send away who can go at once."""
        self.app.state.container.websockets.drain()

    async def drain(self) -> None:
        """Let end what has begun."""
        await self.app.state.container.drain()


class Server(uvicorn.Server):
    """On SIGTERM or SIGINT: readiness off and drain first, sockets and listeners after; then exit status 0.

    With a `seat` it is one of several on the sockets that `run` is given: it accepts when it is ready, or when nobody
    else does, and stops accepting before anything else ends. Alone it listens on, so that readiness can say 503.
    """

    servers: list[Any]

    def __init__(self, config: uvicorn.Config, life: Life, seat: Seat | None = None) -> None:
        super().__init__(config)
        self.server_state = self._state = LeavingState()
        self._life = life
        self._seat = seat
        self._accepting = False
        if seat is not None:
            self.server_state.connections = CountedConnections(seat.connected)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._seat is None:
            return await super().startup(sockets)
        await super().startup([])
        self.servers = [Acceptor(listener, self._protocol, self._seat) for listener in sockets or ()]
        self._come(self._seat)
        return None

    async def on_tick(self, counter: int) -> bool:
        if self._seat is not None:
            self._come(self._seat)
            self._seat.beat()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._state.leaving = True
        if self._seat is not None:
            self._stop_accepting(self._seat)
        self._life.leave()
        for connection in self._http():
            connection.retire()
        if self._seat is not None:
            await self._unless_forced(self._last_requests())
        await self._unless_forced(self._life.drain())
        await super().shutdown()
        self._captured_signals.clear()  # the signal was an order, and it is carried out

    def _http(self) -> list[BoundedHttp]:
        return [each for each in tuple(self.server_state.connections) if isinstance(each, BoundedHttp)]

    async def _last_requests(self) -> None:
        """While the connections that are left may bring one more request each, runs begin here as ever."""
        ends_at = asyncio.get_running_loop().time() + IDLE_SECONDS + BEGIN_SECONDS
        for acceptor in self.servers:
            await acceptor.wait_closed()
        while self._http() and asyncio.get_running_loop().time() < ends_at:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(READY_POLL_SECONDS)

    async def _unless_forced(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        while not task.done() and not self.force_exit:
            await asyncio.wait({task}, timeout=FORCE_POLL_SECONDS)
        task.cancel()

    def _come(self, seat: Seat) -> None:
        """Begin to accept. A replacement leaves that to the others until it can answer as they do."""
        ready = self._life.ready
        if not self._accepting and (ready or seat.alone):
            self._accepting = True
            for acceptor in self.servers:
                acceptor.open()
            seat.open()
        if ready:
            seat.ready()

    def _stop_accepting(self, seat: Seat) -> None:
        for acceptor in self.servers:
            acceptor.close()
        seat.leave()

    def _protocol(self) -> BoundedHttp:
        return BoundedHttp(self.config, self.server_state, self.lifespan.state)


def server_config(app: Any, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves `app`."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        workers=1,  # else uvicorn reads WEB_CONCURRENCY by itself
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


def serve(app: Any, settings: Settings) -> None:
    """Serve `app` in this process until a signal ends it."""
    Server(server_config(app, settings), Life(app)).run()
