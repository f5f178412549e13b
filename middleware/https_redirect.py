"""With USE_HTTPS, plain requests are sent to the same address over HTTPS."""

from starlette.datastructures import URL, Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

EXEMPT = ("/health", "/metrics")


class HttpsRedirect:
    """Trusts `X-Forwarded-Proto` only from a trusted proxy (as `Caller` has found it). Health checks stay plain."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(EXEMPT) or self._secure(scope):
            return await self.app(scope, receive, send)
        url = URL(scope=scope).replace(scheme="https")
        await RedirectResponse(str(url), 307)(scope, receive, send)

    def _secure(self, scope: Scope) -> bool:
        if scope["scheme"] == "https":
            return True
        return bool(scope["state"].get("via_proxy")) and Headers(scope=scope).get("x-forwarded-proto") == "https"
