"""How a middleware says no: in the shape that all errors have."""

from typing import Any

from starlette.types import Receive, Scope, Send

from infrastructure.error_handlers import error_answer


async def refuse(scope: Scope, receive: Receive, send: Send, kind: str, detail: str, **more: Any) -> None:
    """Answer the request with an error instead of passing it on."""
    await error_answer(scope, kind, detail, **more)(scope, receive, send)
