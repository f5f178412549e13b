"""The last edge of a request: what nobody expected is logged and told as `internal_error`, without its inside."""

from collections.abc import Callable

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from middleware.refusal import refuse

log = structlog.get_logger()


class CatchAll:
    """Answers 500 where no response was begun; else the connection breaks, as the response cannot be taken back."""

    def __init__(self, app: ASGIApp, on_error: Callable[[str], None]) -> None:
        self.app = app
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            self._on_error("internal_error")
            log.exception("request failed", error=type(error).__name__)
            if started:
                raise
            await refuse(scope, receive, send, "internal_error", "Something went wrong inside the service.")
