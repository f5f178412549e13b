"""What goes on beside requests for as long as the service runs."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from backend.filing import SWEEP_SECONDS as SWEEP_FILES_SECONDS
from backend.filing import sweep_files
from backend.socket_auth import check_credentials
from infrastructure.monitoring import Metrics
from services.knowledge.index import Indexer

if TYPE_CHECKING:
    from backend.container import Container

log = structlog.get_logger()
SWEEP_SECONDS = 30.0
CREDENTIAL_SECONDS = 5.0
LAG_SECONDS = 0.5
RELOAD_SECONDS = 5.0


def background_work(container: "Container") -> tuple[Coroutine[Any, Any, None], ...]:
    """All of it, each to be a task."""
    return (
        follow_folder(container.indexer, container.life.know),
        container.indexer.reindex_when_asked(),
        container.indexing.run(),
        container.reembedding.run(),
        *(() if container.database.is_sqlite else (container.embedding_models.follow(), container.follower.run())),
        container.life.beat(),
        container.life.follow(),
        sweep(container),
        sweep_database(container),
        sweep_storage(container),
        watch_credentials(container),
        measure_lag(container.metrics),
        container.figures.close_slots(),
    )


async def follow_folder(indexer: Indexer, on_loaded: Callable[[], Awaitable[None]]) -> None:
    """Take in the knowledge folder, then follow its changes. Until the first look succeeds, readiness says so."""
    while not indexer.loaded:
        try:
            report = await indexer.start()
        except Exception as error:
            log.exception("knowledge cannot be loaded", error=type(error).__name__)
            await asyncio.sleep(RELOAD_SECONDS)
        else:
            await on_loaded()
            log.info("ready", unchanged=report.unchanged, seconds=round(report.seconds, 3))
    await indexer.watch()


async def sweep(container: "Container") -> None:
    """Let go, now and then, of what nobody uses any more in memory."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        container.event_log.expire()
        container.sessions.expire()


async def sweep_database(container: "Container") -> None:
    """Delete what has had its time: anonymous chats that nobody uses, refresh tokens that have expired."""
    while True:
        try:
            chats = 0
            before = datetime.now(UTC) - timedelta(days=container.settings.session_ttl_days)
            while gone := await container.chats.delete_idle_anonymous(before):
                chats += gone
            tokens = await container.accounts.expire()
        except (SQLAlchemyError, OSError) as error:
            log.warning("clean-up failed, and is tried again later", error=type(error).__name__)
        else:
            if chats or tokens:
                log.info("cleaned up", chats=chats, refresh_tokens=tokens)
        await asyncio.sleep(container.settings.cleanup_interval_seconds)


async def sweep_storage(container: "Container") -> None:
    """Clear away files that nobody needs, and bytes that no file has."""
    while True:
        await sweep_files(container.files, container.uploads, container.settings.session_ttl_days)
        await asyncio.sleep(SWEEP_FILES_SECONDS)


async def watch_credentials(container: "Container") -> None:
    """Close sockets whose credentials were ended by another process; what ends here closes them at once."""
    while True:
        await asyncio.sleep(CREDENTIAL_SECONDS)
        await check_credentials(container.websockets, container.accounts)


async def measure_lag(metrics: Metrics) -> None:
    """Say how late timers run: what everything on this loop waits for."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_SECONDS
        await asyncio.sleep(LAG_SECONDS)
        late = max(0.0, loop.time() - due)
        metrics.loop_lag.observe(late)
        metrics.lately.loop_lag(late)
