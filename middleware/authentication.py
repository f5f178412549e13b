"""Who asks, and may they come in at all: a token or an API key, shown with each HTTP request.

Two middlewares with the rate limit between them. `Authentication` says who it is, so that a signed-in user's requests
count for the user. `Admission` turns down a bad credential only behind the limit: it has counted for the address by
then, as every try from there, and whoever tries too often is answered 429.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from infrastructure.error_handlers import retry_after_header
from infrastructure.errors import AskGraphError, StorageUnavailable, Unauthorized
from infrastructure.log_ids import bind_ids
from infrastructure.openai_errors import is_openai_path
from middleware.refusal import refuse
from services.principals import ANONYMOUS, Principal
from services.tokens import not_valid

SIGN_IN = "Sign in first."
KEY_PREFIX = "ask_"
SHOWN = re.compile(r"[!-~]{1,4096}\Z")  # what a token or a key is made of at most: nothing else is looked up
OURS = re.compile(rf"{KEY_PREFIX}|[^.]*\.[^.]*\.[^.]*\Z")  # a key, or a JWT's three parts
STORAGE_ERRORS = (SQLAlchemyError, OSError)  # the latter where no connection can be made

OPERATIONS = frozenset(
    {"/metrics", "/dashboard", "/dashboard/events", "/health-status", "/system-metrics", "/performance-stats",
     "/agent-stats", "/session/stats", "/ws/stats", "/rate-limit/status"}
)  # fmt: skip
"""They have a rule of their own, and their own token may come as Bearer (`backend.dependencies.require_operator`)."""
OPEN = frozenset(
    {"/", "/docs", "/openapi.json", "/health", "/health/live", "/health/ready"}
    | {f"/api/v1/auth/{way_in}" for way_in in ("register", "login", "token", "refresh")}
)
OPEN_FOLDER = "/static/"


class Authenticator(Protocol):
    """Who knows tokens and keys."""

    async def authenticate(self, presented: str) -> Principal:
        """
        Raises:
            Unauthorized: neither an access token nor an API key that holds.
        """

    async def still_valid(self, credentials: Sequence[str]) -> set[str]:
        """Those of `credentials` (`Principal.credential`) that have not ended."""

    def listen(self, revoked: Callable[[str], None]) -> None:
        """Have `revoked` called with each credential that ends in this process."""


class Authentication:
    """Puts who asks into `scope["state"]["principal"]`; where the credential is bad, why into `["refused"]`.

    Without a credential nothing is done, nor on open pages, whatever is shown there; below /v1 see `presented`. Sockets
    are let pass: their door asks (browsers cannot set headers there).
    """

    def __init__(self, app: ASGIApp, accounts: Callable[[Scope], Authenticator]) -> None:
        self.app = app
        self._accounts = accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            state = scope["state"]
            state["principal"] = ANONYMOUS
            if not is_open(scope["path"]) and (shown := presented(scope)):
                try:
                    state["principal"] = await identify(self._accounts(scope), shown)
                except AskGraphError as error:
                    state["refused"] = error
        await self.app(scope, receive, send)


class Admission:
    """Turns down a bad credential and, where sign-in is required, whoever shows none: on every path that is not open,
    whether there is anything or not.
    """

    def __init__(self, app: ASGIApp, required: bool, on_error: Callable[[str], None]) -> None:
        self.app = app
        self._required = required
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = self._refusal(scope) if scope["type"] == "http" else None
        if error is None:
            return await self.app(scope, receive, send)
        self._on_error(error.kind)
        headers = retry_after_header(error.retry_after)
        if error.kind == Unauthorized.kind:
            headers["WWW-Authenticate"] = "Bearer"
        await refuse(scope, receive, send, error.kind, error.message, headers=headers)

    def _refusal(self, scope: Scope) -> AskGraphError | None:
        if is_open(scope["path"]) or scope["path"] in OPERATIONS:
            return None
        refused: AskGraphError | None = scope["state"].get("refused")
        if refused is None and self._required and scope["state"]["principal"].anonymous:
            return Unauthorized(SIGN_IN)
        return refused


def is_open(path: str) -> bool:
    """Whether this page is for everybody: health, documentation, the page with its files, and the ways to sign in."""
    return path in OPEN or path.startswith(OPEN_FOLDER)


def presented(scope: Scope) -> list[str]:
    """What is to be looked up. Below /v1 only what looks like a token or a key of ours: OpenAI's clients always send a
    key, a made-up one where none is needed, and whoever sends that is nobody.
    """
    shown = credentials(scope)
    return [one for one in shown if OURS.match(one)] if is_openai_path(scope["path"]) else shown


def credentials(scope: Scope) -> list[str]:
    """What the headers show: `Authorization: Bearer …` and `X-API-Key: ask_…`. What is unfit to be one comes as ""."""
    headers = Headers(scope=scope)
    shown = []
    for value in headers.getlist("authorization"):
        scheme, _, token = value.strip().partition(" ")
        if scheme.lower() == "bearer":  # any other is meant for somebody else, as a proxy's Basic
            shown.append(token.strip())
    for key in headers.getlist("x-api-key"):
        shown.append(key if key.startswith(KEY_PREFIX) else "")
    return shown


async def identify(accounts: Authenticator, shown: Iterable[str]) -> Principal:
    """Whose credential this is, on log lines too from here on. One may be shown twice, but not two.

    Raises:
        Unauthorized: it is not valid.
        StorageUnavailable: the database does not answer.
    """
    different = set(shown)
    presented = different.pop()
    if different or not SHOWN.match(presented):
        raise not_valid()
    try:
        principal = await accounts.authenticate(presented)
    except STORAGE_ERRORS as error:
        raise no_storage() from error
    bind_ids(user_id=principal.user_id)
    return principal


def no_storage() -> StorageUnavailable:
    """What the caller is told of STORAGE_ERRORS."""
    return StorageUnavailable("The database does not answer. Try again in a moment.", retry_after=1.0)
