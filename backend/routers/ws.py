"""The WebSocket doors: who may come in, how fast frames may come, and what comes in that is no text."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.datastructures import Headers
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send

from backend.asgi_peer import AsgiPeer
from backend.ask_socket import AskSocket
from backend.container import Container
from backend.dependencies import Operator, Parts
from backend.schemas import frames
from backend.schemas.ask import error_responses
from backend.schemas.operations import SocketStats
from backend.server import MAX_MESSAGE_BYTES, PEER
from backend.socket_auth import shown_in, subprotocol, turn_away
from infrastructure.error_handlers import error_response, request_id_of
from infrastructure.errors import AskGraphError, Unauthorized
from infrastructure.websocket_manager import (
    POLICY,
    RESTARTING,
    UNSUPPORTED,
    Connection,
    ConnectionClosed,
    Peer,
)
from middleware.authentication import SIGN_IN, identify
from services.principals import ANONYMOUS, Principal

router = APIRouter(tags=["websocket"])
FLOOD_FACTOR = 5  # frames a socket may send for each question that a caller may ask
FLOOD_FLOOR = 1000  # and at least so many a window, for pings and the like
SIGN_IN_SECONDS = 10.0  # how long a socket may stay without a credential where one is needed, by the contract


@router.get("/ws/schema")
async def schema() -> dict[str, Any]:
    """JSON Schema of every frame."""
    return frames.frames_schema()


@router.get("/ws/stats", dependencies=[Operator], responses=error_responses(401, 403))
async def stats(parts: Parts) -> SocketStats:
    """How many connections there are, and were."""
    return SocketStats.model_validate(parts.websockets.stats())


class Flood:
    """So many frames a window for one socket; what a window leaves over does not carry on."""

    def __init__(self, frames_a_window: int, seconds: float) -> None:
        self._allowed = frames_a_window
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._seen = 0

    def over(self) -> bool:
        """Count a frame; True when it is one too many."""
        now = self._loop.time()
        if now - self._since >= self._seconds:
            self._since, self._seen = now, 0
        self._seen += 1
        return self._seen > self._allowed


class AskDoor:
    """`/ws/ask` (or, with `echo`, `/ws/test`) as a bare ASGI application: frames pass through no framework's object."""

    def __init__(self, path: str, echo: bool = False, sign_in_seconds: float = SIGN_IN_SECONDS) -> None:
        self.path = path
        self._echo = echo
        self._sign_in_seconds = sign_in_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts: Container = scope["app"].state.container
        scope["route"] = self  # Starlette's own route for sockets leaves no trace of its path
        if not origin_allowed(scope, parts.settings.allowed_origins):
            return await _turn_down(scope, receive, send, "forbidden", "This origin may not connect.")
        await receive()  # websocket.connect
        await send({"type": "websocket.accept", "subprotocol": subprotocol(scope.get("subprotocols", ()))})
        peer: Peer = scope["extensions"].get(PEER) or AsgiPeer(send)
        connection = parts.websockets.open(peer, scope["state"]["caller"])
        if connection is None:
            peer.close(POLICY, "too many connections", 2.0)
            return await _until_gone(receive)
        try:
            await self._serve(connection, parts, scope, receive)
        except ConnectionClosed:
            await _until_gone(receive)
        finally:
            parts.websockets.leave(connection)

    async def _serve(self, connection: Connection, parts: Container, scope: Scope, receive: Receive) -> None:
        settings = parts.settings
        if parts.websockets.draining:
            connection.close(RESTARTING, "restarting: reconnect")
            return await _until_gone(receive)
        principal = await self._admit(connection, parts, scope)
        if principal is None:
            return await _until_gone(receive)
        allowed = max(FLOOD_FLOOR, FLOOD_FACTOR * settings.rate_limit_requests_per_minute)
        flood = Flood(allowed, settings.rate_limit_window_seconds)
        session_id = parts.new_id()
        if self._echo:
            return await _echo(connection, receive, flood)
        socket = AskSocket(connection, parts, scope["state"]["caller"], principal, session_id)
        hello = frames.connected(session_id, settings.ws_heartbeat_seconds, MAX_MESSAGE_BYTES)
        await connection.send((hello,))
        try:
            while (text := await _next(connection, receive, flood)) is not None:
                await socket.hear(text)
        finally:
            socket.leave()

    async def _admit(self, connection: Connection, parts: Container, scope: Scope) -> Principal | None:
        """Who came in; None where they are turned away. Where sign-in is required `/ws/ask` waits a little for it."""
        required = parts.settings.auth_required
        try:
            shown = shown_in(scope)
            principal = await identify(parts.accounts, shown) if shown else ANONYMOUS
            if self._echo and required and principal.anonymous:
                raise Unauthorized(SIGN_IN)
        except AskGraphError as error:
            parts.metrics.error(error.kind)
            if isinstance(error, Unauthorized):  # so many tries has an address, over whichever transport
                await parts.limit.hit(scope["state"]["caller"])
            turn_away(connection, error)
            return None
        waits = required and principal.anonymous
        connection.admit(principal.credential, time.time() + self._sign_in_seconds if waits else principal.expires_at)
        return principal


async def _next(connection: Connection, receive: Receive, flood: Flood) -> str | None:
    """The next text message; None when the connection is over. Binary ones and floods close it."""
    while (message := await receive())["type"] == "websocket.receive":
        text: str | None = message.get("text")
        if connection.closing:
            continue
        if text is None:
            connection.close(UNSUPPORTED, "text frames only")
        elif flood.over():
            connection.close(POLICY, "too many frames")
        else:
            return text
    return None


async def _echo(connection: Connection, receive: Receive, flood: Flood) -> None:
    while (text := await _next(connection, receive, flood)) is not None:
        await connection.send((frames.echo(text),))


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        pass


class NoDoor:
    """Any other path: not found, as over HTTP."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _turn_down(scope, receive, send, "not_found", "Not Found")


async def _turn_down(scope: Scope, receive: Receive, send: Send, kind: str, detail: str) -> None:
    """Answer the handshake with an error instead of a connection."""
    response = error_response(request_id_of(scope), kind, detail)
    if "websocket.http.response" in scope.get("extensions", {}):
        return await response(scope, receive, send)
    await send({"type": "websocket.close", "code": POLICY})


def origin_allowed(scope: Scope, allowed: Sequence[str]) -> bool:
    """No origin (not a browser), the server's own, or one of `allowed` (`*` is any)."""
    headers = Headers(scope=scope)
    origins = headers.getlist("origin")
    if not origins:
        return True
    if len(origins) > 1:
        return False
    origin = origins[0].rstrip("/").lower()
    own = headers.get("host", "").lower()
    return "*" in allowed or origin in allowed or origin in (f"http://{own}", f"https://{own}")


websocket_routes = [
    WebSocketRoute("/ws/ask", AskDoor("/ws/ask"), name="ws_ask"),
    WebSocketRoute("/ws/test", AskDoor("/ws/test", echo=True), name="ws_test"),
    WebSocketRoute("/{path:path}", NoDoor(), name="ws_none"),
]
