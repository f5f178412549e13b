"""One log line for each request, with its route's template: no query string, no body, no header's value."""

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from middleware.route import route_template

log = structlog.get_logger("access")
QUIET = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})


class AccessLog:
    """Logs method, route, status and milliseconds until the last byte. Health checks and scrapes are at debug level."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        started, status = time.perf_counter(), 0

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
            elif message["type"] == "websocket.accept":
                status = 101
            elif message["type"] == "websocket.close" and not status:
                status = 403  # what the server answers to a handshake that is turned down
            await send(message)

        try:
            await self.app(scope, receive, send_and_see)
        finally:
            route = route_template(scope)
            write = log.debug if route in QUIET else log.info
            write(
                "request",
                method=scope.get("method", "WEBSOCKET")[:16],
                route=route,
                status=status,
                ms=round((time.perf_counter() - started) * 1000, 1),
            )
