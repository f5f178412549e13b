"""Cross-origin requests, with refusals in the shape that all errors have."""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from middleware.refusal import refuse


class Cors(CORSMiddleware):
    """Starlette's CORS. Its 400 in plain text for a preflight becomes a 403 like any other."""

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        return response if response.status_code == 200 else _Refused()


class _Refused(Response):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {"Vary": "Origin"}
        await refuse(scope, receive, send, "forbidden", "This origin may not send this request.", headers=headers)
