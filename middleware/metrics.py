"""Counts and times every HTTP request under its route's template."""

import time
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from middleware.route import route_template

Observe = Callable[[str, str, int, float], None]
"""Takes method, route template, status and seconds."""


class RequestMetrics:
    """Tells `observe` of each request when its last byte has gone."""

    def __init__(self, app: ASGIApp, observe: Observe) -> None:
        self.app = app
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started, status = time.perf_counter(), 500

        def send_and_see(message: Message) -> Awaitable[None]:  # no coroutine of its own for each message
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        try:
            await self.app(scope, receive, send_and_see)
        finally:
            self._observe(scope["method"], route_template(scope), status, time.perf_counter() - started)
