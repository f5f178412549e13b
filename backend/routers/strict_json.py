"""JSON bodies read strictly: no NaN, no lone surrogates, no bottomless nesting, whatever Python's parser would take."""

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response


class _StrictRequest(Request):
    async def json(self) -> Any:
        return orjson.loads(await self.body())  # its error is a json.JSONDecodeError, which becomes a 422


class StrictJsonRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strict
