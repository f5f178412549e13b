"""No request body over the limit is buffered: refused by its declared length, else as soon as it goes over."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from middleware.refusal import refuse

TOO_LARGE = "The request body is larger than {limit} bytes."
CLOSE = {"Connection": "close"}  # the rest of the body is not kept
LINGER_SECONDS = 2.0  # how long it is thrown away: a client in the middle of sending could not read our answer else


class _TooLarge(HTTPException):
    """Raised into whoever reads the body. FastAPI turns any other kind of error there into a 400."""


class BodyLimit:
    """Answers 413 to a body of more than `limit` bytes.

    `larger` has paths with a limit of their own. What answers there before the whole body has come ends the connection
    with its answer: else all of the rest would be taken in for nothing.
    """

    def __init__(
        self, app: ASGIApp, limit: int, on_error: Callable[[str], None], larger: Mapping[str, int] | None = None
    ) -> None:
        self.app = app
        self._limit = limit
        self._larger = larger or {}
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        limit = self._larger.get(scope["path"], self._limit)
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "0")
        if not declared.isascii() or not declared.isdigit() or int(declared[:20]) > limit:
            return await self._refuse(scope, receive, send, limit)
        body = _Body(limit, receive, coming=int(declared) > 0 or "transfer-encoding" in headers)
        leaves = scope["path"] in self._larger
        try:
            await self.app(scope, body.receive, body.watching(send, leaves))
        except _TooLarge:
            if body.answered:
                raise
            await self._refuse(scope, receive, send, limit)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        self._on_error("payload_too_large")
        await refuse(
            scope, receive, _lingering(receive, send), "payload_too_large", TOO_LARGE.format(limit=limit), headers=CLOSE
        )


class _Body:
    """A request's body as it is read, and whether there is more of it. `answered`: the response has begun."""

    def __init__(self, limit: int, receive: Receive, coming: bool) -> None:
        self._limit = limit
        self._receive = receive
        self._received = 0
        self._coming = coming
        self.answered = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._coming = message.get("more_body", False)
        self._received += len(message.get("body", b""))
        if self._received > self._limit:
            raise _TooLarge(413, TOO_LARGE.format(limit=self._limit), CLOSE)
        return message

    def watching(self, send: Send, leaves: bool) -> Send:
        """`send`; where the body was left in its midst, one that closes the connection."""
        closing = False

        async def watched(message: Message) -> None:
            nonlocal closing
            if not self.answered:
                self.answered = True
                closing = self._received > self._limit or (leaves and self._coming)
                if closing:
                    message.setdefault("headers", [])  # ASGI lets them out
                    MutableHeaders(scope=message).update(CLOSE)
            await (_lingering(self._receive, send) if closing else send)(message)

        return watched


def _lingering(receive: Receive, send: Send) -> Send:
    """`send`, which throws away what the client still sends before it lets the response end."""

    async def send_and_linger(message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            await send({**message, "more_body": True})
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER_SECONDS):
                    while (await receive()).get("more_body", False):
                        pass
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await send(message)

    return send_and_linger
