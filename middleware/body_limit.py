"""No request body over the limit is buffered: refused by its declared length, else as soon as it goes over."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from middleware.refusal import refuse

TOO_LARGE = "The request body is larger than {limit} bytes."
CLOSE = {"Connection": "close"}  # the rest of the body is not kept
LINGER_SECONDS = 2.0  # how long it is thrown away: a client in the middle of sending could not read our answer else


class _TooLarge(HTTPException):
    """Raised into whoever reads the body. FastAPI turns any other kind of error there into a 400."""


class BodyLimit:
    """Answers 413 to a body of more than `limit` bytes."""

    def __init__(self, app: ASGIApp, limit: int, on_error: Callable[[str], None]) -> None:
        self.app = app
        self._limit = limit
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isascii() or not declared.isdigit() or int(declared[:20]) > self._limit:
            return await self._refuse(scope, receive, send)
        started, received = False, 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise _TooLarge(413, TOO_LARGE.format(limit=self._limit), CLOSE)
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await (send if received <= self._limit else _lingering(receive, send))(message)

        try:
            await self.app(scope, counted, watched)
        except _TooLarge:
            if started:
                raise
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._on_error("payload_too_large")
        await refuse(
            scope, receive, _lingering(receive, send), "payload_too_large", TOO_LARGE.format(limit=self._limit),
            headers=CLOSE,
        )  # fmt: skip


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
