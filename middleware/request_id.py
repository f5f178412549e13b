"""A request id for every request: the client's if it is sound, else a new one; returned, and on every log line."""

import asyncio
import re
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infrastructure.log_ids import begin_ids

SOUND = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")


class RequestId:
    """Puts the id into `scope["state"]["request_id"]` and the `X-Request-ID` header."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if SOUND.match(given) else str(uuid4())
        scope.setdefault("state", {})["request_id"] = request_id
        ids = begin_ids(many=scope["type"] == "websocket", request_id=request_id)

        async def send_with_id(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept", "websocket.http.response.start"):
                message.setdefault("headers", [])  # ASGI lets them out
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            asyncio.get_running_loop().call_soon(ids.end)  # the server's own line on what broke still has them
