"""Errors become responses here, and nowhere else: one shape (below /v1 OpenAI's), a stable `type`, nothing of the
inside.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from infrastructure.database.engine import is_unavailable
from infrastructure.errors import AskGraphError, StorageUnavailable, Unauthorized
from infrastructure.openai_errors import is_openai_path, openai_response

log = structlog.get_logger()
STATUS_OF_KIND = {
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "conflict": 409,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "validation_error": 422,
    "rate_limited": 429,
    "headers_too_large": 431,
    "internal_error": 500,
    "provider_protocol_error": 502,
    "provider_unavailable": 503,
    "shutting_down": 503,
    "storage_unavailable": 503,
    "interrupted": 503,
}
KIND_OF_STATUS = {status: kind for kind, status in STATUS_OF_KIND.items() if status != 503} | {503: "unavailable"}
MAX_PROBLEMS = 20

OnError = Callable[[str], None]


def error_body(kind: str, status: int, detail: str, request_id: str, **more: Any) -> bytes:
    """The JSON that every HTTP error has."""
    return orjson.dumps({"detail": detail, "type": kind, "code": status, "request_id": request_id, **more})


def error_response(
    request_id: str, kind: str, detail: str, *, status: int | None = None,
    headers: Mapping[str, str] | None = None, **more: Any,
) -> Response:  # fmt: skip
    code = status or STATUS_OF_KIND.get(kind, 500)
    body = error_body(kind, code, detail, request_id, **more)
    return Response(body, code, headers, media_type="application/json")


def error_answer(
    scope: Mapping[str, Any], kind: str, detail: str, *, status: int | None = None,
    headers: Mapping[str, str] | None = None, error: AskGraphError | None = None, **more: Any,
) -> Response:  # fmt: skip
    """The error as who asks there reads it: below /v1 in OpenAI's shape, elsewhere in the service's own."""
    if is_openai_path(scope["path"]):
        code = status or STATUS_OF_KIND.get(kind, 500)
        problems = more.get("errors", ()) if error is None else ()
        return openai_response(kind, code, detail, dict(headers or {}), error=error, problems=problems)
    return error_response(request_id_of(scope), kind, detail, status=status, headers=headers, **more)


def retry_after_header(seconds: float | None) -> dict[str, str]:
    return {} if seconds is None else {"Retry-After": str(max(1, math.ceil(seconds)))}


def request_id_of(scope: Mapping[str, Any]) -> str:
    state = scope.get("state")
    return str(state.get("request_id", "")) if state else ""


def install_error_handlers(app: FastAPI, on_error: OnError) -> None:
    """Turn the service's errors, FastAPI's and Starlette's into their shape; `on_error` is told the kind."""

    async def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, AskGraphError)  # noqa: S101  registered for this type
        on_error(error.kind)
        headers = retry_after_header(error.retry_after)
        if isinstance(error, Unauthorized):
            headers["WWW-Authenticate"] = error.challenge
        more: dict[str, Any] = {}
        if error.kind == "validation_error":
            more["errors"] = [{"loc": ["body"], "msg": error.message}]
        return error_answer(request.scope, error.kind, error.message, headers=headers, error=error, **more)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101  registered for this type
        on_error("validation_error")
        problems = _problems(error.errors())
        detail = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in problems[:3])
        return error_answer(request.scope, "validation_error", detail, errors=problems)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  registered for this type
        kind = KIND_OF_STATUS.get(error.status_code, "error")
        on_error(kind)
        return error_answer(request.scope, kind, str(error.detail), status=error.status_code, headers=error.headers)

    async def storage(request: Request, error: Exception) -> Response:
        if not is_unavailable(error):
            raise error  # a fault of ours: CatchAll logs it and answers 500
        log.warning("database does not answer", error=type(error).__name__)
        return await known(request, StorageUnavailable("The database does not answer. Try again.", retry_after=1.0))

    app.add_exception_handler(AskGraphError, known)
    app.add_exception_handler(SQLAlchemyError, storage)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def _problems(errors: Sequence[Any]) -> list[dict[str, Any]]:
    """Where and what, never the input itself."""
    return [{"loc": [_place(part) for part in e["loc"]], "msg": str(e["msg"])} for e in errors[:MAX_PROBLEMS]]


def _place(part: object) -> str | int:
    """A part of a path into the body. Names that the caller made up are cut short."""
    return part if isinstance(part, int) else str(part)[:64].encode("utf-8", "replace").decode()
