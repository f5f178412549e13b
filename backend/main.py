"""The application: its parts, its middleware and its routes put together. Nothing happens at import."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware

from backend.container import open_container, service_version
from backend.filing import upload_limit
from backend.log_secrets import secret_values
from backend.routers import (
    agents,
    approvals,
    ask,
    auth,
    chat,
    chat_events,
    chats,
    conversations,
    dashboard,
    embedding_models,
    files,
    health,
    knowledge,
    mcp,
    messages,
    models,
    openai,
    operations,
    pages,
    sessions,
    stats,
    ws,
)
from backend.settings import Settings
from infrastructure.error_handlers import install_error_handlers
from infrastructure.logging import configure_logging
from infrastructure.monitoring import Metrics
from middleware.access_log import AccessLog
from middleware.authentication import Admission, Authentication
from middleware.body_limit import BodyLimit
from middleware.caller import Caller
from middleware.catch_all import CatchAll
from middleware.cors import Cors
from middleware.https_redirect import HttpsRedirect
from middleware.metrics import RequestMetrics
from middleware.rate_limit import CallerLimit, RateLimit
from middleware.request_id import RequestId
from middleware.security_headers import SecurityHeaders

DESCRIPTION = """\
Ask a question, read a grounded, cited answer as it is written.

The live way is the WebSocket at `/ws/ask`; its frames are described by [/ws/schema](/ws/schema).
"""
COLLECTOR_THRESHOLDS = (2_000, 200, 100)
"""A pass over the young takes 0.4 ms so (22 to 40 with 50,000), and the older are walked over once in half a million
objects (60 ms) and not in 7,000, as by Python's own (700, 10, 10): with 200 paced streams those passes made tokens up
to 110 ms late.
"""
ROUTERS = (
    ask, approvals, ws, auth, chats, messages, chat_events, files, knowledge, sessions, conversations, chat, health,
    operations, dashboard, pages, embedding_models, models, openai, agents, stats,
)  # fmt: skip
RATE_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After")
EXPOSED_HEADERS = ("X-Request-ID", "X-Session-ID", "X-Run-ID", *RATE_HEADERS)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The ASGI application for `settings` (by default: from the environment and `.env`).

    What takes time or holds something is opened with the application's lifespan and closed with it.
    """
    settings = settings or Settings()
    metrics = Metrics(service_version())
    limit = CallerLimit(settings.rate_limit_requests_per_minute, settings.rate_limit_window_seconds)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        configure_logging(settings.log_level, settings.log_style, settings.log_dir, secret_values(settings))
        async with open_container(settings, metrics, limit) as container:
            app.state.container = container
            gc.collect()
            gc.freeze()  # what is here now stays: full collections need not walk over it again
            gc.set_threshold(*COLLECTOR_THRESHOLDS)
            yield

    app = FastAPI(
        title="AskGraph",
        description=DESCRIPTION,
        version=service_version(),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        middleware=_middleware(settings, metrics, limit),
    )
    install_error_handlers(app, metrics.error)
    for room in ROUTERS:
        app.include_router(room.router)
    app.router.routes.extend([*ws.websocket_routes, *mcp.routes(), *pages.static_mounts()])
    return app


def _middleware(settings: Settings, metrics: Metrics, limit: CallerLimit) -> list[Middleware]:
    """Outermost first. Each does one job; the order is part of the design."""
    stack: list[Any] = [
        Middleware(RequestId),
        Middleware(Caller, trusted_proxies=settings.trusted_proxies),
        Middleware(AccessLog),
        Middleware(RequestMetrics, observe=metrics.request),
        Middleware(SecurityHeaders, https=settings.use_https),
        Middleware(
            Cors,
            allow_origins=list(settings.allowed_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=list(EXPOSED_HEADERS),
        ),
        Middleware(Authentication, accounts=lambda scope: scope["app"].state.container.accounts),
        Middleware(RateLimit, limit=limit, on_error=metrics.error),
        Middleware(Admission, required=settings.auth_required, on_error=metrics.error),
        Middleware(
            BodyLimit,
            limit=settings.max_body_bytes,
            on_error=metrics.error,
            larger={files.UPLOAD_PATH: upload_limit(settings)},
        ),
        Middleware(CatchAll, on_error=metrics.error),
    ]
    if settings.use_https:
        stack.insert(2, Middleware(HttpsRedirect))
    return stack
