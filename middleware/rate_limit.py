"""So many requests a minute for each caller (a signed-in user, else an address), said in headers; over it 429 with
Retry-After.

The counting is slowapi's: its `Limiter` holds the storage and the strategy. Questions over a WebSocket hit the same
counter through `CallerLimit`. A sliding window counter keeps two numbers a caller, however many requests come. Workers
that have Redis count together; without it, or while it is away, each counts what it sees.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from limits import RateLimitItemPerSecond
from slowapi import Limiter
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infrastructure.error_handlers import retry_after_header
from infrastructure.errors import RateLimited
from infrastructure.rate_counter import RateCounter, SharedWindows, Standing
from infrastructure.rate_storage import SCHEME
from middleware.refusal import refuse
from services.principals import ANONYMOUS, Principal

EXEMPT = ("/health", "/metrics", "/static/")


def counted_as(principal: Principal, address: str) -> str:
    """The name of the caller's counter."""
    return address if principal.anonymous else f"user:{principal.user_id}"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a caller has: `reset` is when the window is over, in Unix seconds."""

    allowed: bool
    limit: int
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }


class CallerLimit:
    """One counter for each caller, over HTTP and WebSocket alike.

    `shared` is what all workers count in; it can be given later, when there is a loop to open it in.
    """

    def __init__(self, requests: int, window_seconds: int, shared: SharedWindows | None = None) -> None:
        item = RateLimitItemPerSecond(requests, window_seconds)
        limiter = Limiter(key_func=lambda: "", strategy="sliding-window-counter", storage_uri=f"{SCHEME}://")
        self._counter = RateCounter(item, limiter.limiter, shared)
        self._requests = requests
        self.refused = 0

    def share(self, shared: SharedWindows | None) -> None:
        """Count with all other workers from now on; with None alone."""
        self._counter.share(shared)

    async def hit(self, caller: str) -> Allowance:
        """Count one request of `caller`."""
        allowance = self._allowance(await self._counter.hit(caller))
        self.refused += not allowance.allowed
        return allowance

    async def look(self, caller: str) -> Allowance:
        """What `caller` has left, without counting."""
        return self._allowance(await self._counter.look(caller))

    async def require(self, caller: str) -> None:
        """Count one question of `caller`.

        Raises:
            RateLimited: over the limit; `retry_after` is in seconds.
        """
        allowance = await self.hit(caller)
        if not allowance.allowed:
            raise RateLimited("Too many requests.", retry_after=max(1.0, allowance.reset - time.time()))

    def _allowance(self, standing: Standing) -> Allowance:
        return Allowance(standing.allowed, self._requests, standing.remaining, int(standing.reset) + 1)


class RateLimit:
    """Counts every HTTP request but those for health and metrics."""

    def __init__(self, app: ASGIApp, limit: CallerLimit, on_error: Callable[[str], None]) -> None:
        self.app = app
        self._limit = limit
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(EXEMPT):
            return await self.app(scope, receive, send)
        state = scope["state"]
        allowance = await self._limit.hit(counted_as(state.get("principal", ANONYMOUS), state["caller"]))
        headers = allowance.headers()
        if not allowance.allowed:
            self._on_error("rate_limited")
            headers |= retry_after_header(allowance.reset - time.time())
            return await refuse(scope, receive, send, "rate_limited", "Too many requests.", headers=headers)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", [])  # ASGI lets them out
                MutableHeaders(scope=message).update(headers)
            await send(message)

        await self.app(scope, receive, send_with_headers)
