"""Errors below /v1, in the shape that OpenAI's clients read: `{"error": {"message", "type", "param", "code"}}`."""

from collections.abc import Sequence
from typing import Any

import orjson
from starlette.responses import Response

from infrastructure.errors import AskGraphError, InvalidInput, NotFound

FOLDER = "/v1"
_STATUS_OF_KIND = {"validation_error": 400}  # where others here say 422
_CODE_OF_KIND = {
    "validation_error": "invalid_value",
    "unauthorized": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
}
_TYPE_OF_STATUS = {403: "permission_error", 429: "rate_limit_error"}


class BadParameter(InvalidInput):
    """`param` of the request cannot be used."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param = param


class UnknownModel(NotFound):
    """There is no such model, or the caller may not choose it: it is the same."""

    def __init__(self) -> None:
        super().__init__("There is no such model. GET /v1/models lists them.")


def is_openai_path(path: str) -> bool:
    """Whether clients of OpenAI's API ask there."""
    return path == FOLDER or path.startswith(f"{FOLDER}/")


def openai_status(kind: str, status: int) -> int:
    return _STATUS_OF_KIND.get(kind, status)


def openai_error(
    kind: str, status: int, message: str, *, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """The body; a stream that has begun sends it as an event."""
    fallback = "server_error" if status >= 500 else "invalid_request_error"
    error = {
        "message": message,
        "type": _TYPE_OF_STATUS.get(status, fallback),
        "param": param,
        "code": code or _CODE_OF_KIND.get(kind, kind),
    }
    return {"error": error}


def openai_response(
    kind: str, status: int, message: str, headers: dict[str, str], *,
    error: AskGraphError | None = None, problems: Sequence[dict[str, Any]] = (),
) -> Response:  # fmt: skip
    """An error as a response. `problems` are those of a body that is not valid: the first names the parameter.

    OpenAI's clients try again by themselves after a 5xx; `x-should-retry` keeps them from it where it is of no use.
    """
    status = openai_status(kind, status)
    if error is not None and status >= 500 and not error.retryable:
        headers = headers | {"X-Should-Retry": "false"}
    param, code = _place(error)
    if problems:
        param = _parameter(problems[0]["loc"])
        message = f"{param}: {problems[0]['msg']}" if param else problems[0]["msg"]
    body = openai_error(kind, status, message, param=param, code=code)
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


def _place(error: AskGraphError | None) -> tuple[str | None, str | None]:
    if isinstance(error, BadParameter):
        return error.param, None
    return ("model", "model_not_found") if isinstance(error, UnknownModel) else (None, None)


def _parameter(place: Sequence[str | int]) -> str | None:
    """`messages[0].content`; None where it is the body as a whole."""
    named = ""
    for part in place[1:]:
        named += f"[{part}]" if isinstance(part, int) else f".{part}"
    return named[1:] if named.startswith(".") else None
