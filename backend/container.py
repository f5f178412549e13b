"""The composition root: which implementation is used has its one answer here."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from importlib.metadata import PackageNotFoundError, version

import structlog
from prometheus_client import Counter
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from agents.approvals import Approvals
from agents.keeping import Keeper
from agents.ports import EventLog, Model
from agents.preparing import Preparation
from agents.runner import RunLimits, Runner
from agents.summaries import Summaries
from agents.titles import Titles
from agents.tools.registry import Registry
from backend.agent_parts import open_agents
from backend.answer_graph import make_graph, open_tools
from backend.assembly import AnySearch, Knowledge, open_knowledge, open_models
from backend.background import background_work
from backend.figures import Figures
from backend.filing import open_files, open_storage, open_uploads
from backend.indexing import open_indexing
from backend.mcp_servers import open_mcp_servers
from backend.models import Models
from backend.openai_completions import Completions
from backend.secret_key import load_secret_key
from backend.settings import Settings
from backend.sharing import KNOWLEDGE, Sharing, apart, followed, open_event_log, open_feed, open_sharing
from backend.tracing import open_tracing
from backend.uploads import UploadReader
from backend.vitals import Vitals
from backend.worker_life import WorkerLife
from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from infrastructure.mcp.servers import McpServers
from infrastructure.monitoring import Metrics
from infrastructure.tracing.tracing import Tracing
from infrastructure.websocket_manager import WebSocketManager
from middleware.rate_limit import CallerLimit
from services.accounts import Accounts
from services.agents import Agents
from services.budgets import Budgets
from services.cache import CacheManager
from services.chat_feed import ChatFeed
from services.chats import Chats
from services.checkpoints import Checkpoints
from services.conversations import Conversations
from services.embedding_models import EmbeddingModels
from services.file_indexing import FileIndexing
from services.file_storage import FileStorage
from services.files import Files
from services.knowledge.following import KnowledgeFollower
from services.knowledge.index import Indexer
from services.knowledge.library import Library
from services.knowledge.scopes import Scopes
from services.leases import Leases
from services.login_limit import LoginLimit
from services.passwords import Passwords
from services.reembedding import Reembedding
from services.sessions import SessionManager
from services.stats import Stats
from services.tokens import TokenSigner

log = structlog.get_logger()
READERS_GRACE_SECONDS = 5.0  # for readers that are behind when the last run has ended


@dataclass(frozen=True, slots=True)
class Container:
    """The long-lived parts, opened together and closed together."""

    settings: Settings
    version: str
    metrics: Metrics
    figures: Figures
    limit: CallerLimit
    database: Database
    cache: CacheManager
    search: AnySearch
    library: Library
    scopes: Scopes
    indexer: Indexer
    follower: KnowledgeFollower
    reembedding: Reembedding
    embedding_models: EmbeddingModels
    models: Models
    event_log: EventLog
    accounts: Accounts
    feed: ChatFeed
    conversations: Conversations
    chats: Chats
    agents: Agents
    budgets: Budgets
    stats: Stats
    storage: FileStorage
    files: Files
    indexing: FileIndexing
    uploads: UploadReader
    sessions: SessionManager
    checkpoints: Checkpoints
    approvals: Approvals
    tools: Registry
    tracing: Tracing | None
    runner: Runner
    life: WorkerLife
    sharing: Sharing | None
    completions: Completions
    websockets: WebSocketManager
    sent_frames: Counter
    new_id: Callable[[], str]

    @property
    def model(self) -> Model:
        """What answers when nothing else is chosen."""
        return self.models.model

    @property
    def model_message(self) -> str:
        if self.model.name == "extractive":
            return "No model is configured: answers are the knowledge's own sentences, cited."
        return f"Answers come from {self.model.model} over {self.model.name}, grounded in the knowledge."

    async def drain(self) -> None:
        """Take no more questions, let runs and bare completions end and their readers read, then close every socket
        with 1012.
        """
        self.websockets.drain()
        grace = self.settings.shutdown_grace_seconds
        await asyncio.gather(self.runner.drain(grace), self.completions.drain(grace))
        await self.life.leave()
        self.websockets.drain()  # once more: what could not end is others' now, and is read there
        self.event_log.leave_followed()
        self.feed.close()
        self.figures.board.close()
        await self.websockets.emptied(READERS_GRACE_SECONDS)
        self.websockets.close_all()

    async def active_run(self, chat_id: str) -> tuple[str, str] | None:
        """The run that a chat is at, wherever it is, and the id of its answer."""
        return self.sessions.active_run(chat_id) or (
            await self.conversations.under_way(chat_id) if self.sharing is not None else None
        )

    async def database_state(self) -> str:
        """`ok`, or what is wrong in a word."""
        try:
            async with self.database.read() as session:
                await session.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            log.warning("database does not answer", error=type(error).__name__)
            return "unavailable"
        return "ok"


@lru_cache(1)
def service_version() -> str:
    try:
        return version("askgraph")
    except PackageNotFoundError:  # run from a checkout that was not installed
        return "0.0.0"


@asynccontextmanager
async def open_container(
    settings: Settings, metrics: Metrics, limit: CallerLimit, *, watching: bool = True
) -> AsyncIterator[Container]:
    """Open every part, in the order of need, and close them in reverse.

    A server follows the knowledge folder beside its work: it is ready when it has looked there once. With `watching`
    False the folder is looked at before this returns, and no more.
    """
    async with AsyncExitStack() as stack:
        sharing = await open_sharing(settings, metrics, stack)
        knowledge = await open_knowledge(settings, metrics, stack)
        storage = await open_storage(settings, stack)
        indexing = open_indexing(settings, knowledge, storage, stack)
        mcp_servers = await open_mcp_servers(settings, service_version(), stack)
        container = assemble(settings, metrics, limit, knowledge, storage, indexing, mcp_servers, sharing, stack)
        if watching:
            await container.life.begin()
            container.accounts.listen(container.websockets.revoke)
            for work in background_work(container):
                task = asyncio.create_task(work)
                stack.push_async_callback(_end, task)
        else:
            await knowledge.indexer.start()
        yield container


def assemble(
    settings: Settings, metrics: Metrics, limit: CallerLimit, knowledge: Knowledge, storage: FileStorage,
    indexing: FileIndexing, mcp_servers: McpServers, sharing: Sharing | None, stack: AsyncExitStack,
) -> Container:  # fmt: skip
    """Everything above the knowledge."""
    models = open_models(settings, knowledge.search, metrics, stack)
    worker, tell_others = new_id(), sharing.others.tell if sharing else None
    event_log, feed = open_event_log(settings, sharing), open_feed(sharing)
    conversations = Conversations(knowledge.database, clock=utc_now)
    stack.push_async_callback(conversations.aclose)
    titles = Titles(models.model, conversations, feed, models.on_call)
    stack.push_async_callback(titles.aclose)
    sessions = SessionManager(
        conversations,
        max_turns=settings.max_session_history,
        max_sessions=settings.max_sessions,
        ttl_seconds=settings.session_ttl_days * 86_400,
    )
    tools = open_tools(settings, knowledge, mcp_servers)
    secret = load_secret_key(settings)
    tracing = open_tracing(settings, metrics, secret, service_version(), stack)
    parts = open_agents(settings, knowledge, models, stack, tools.offered)
    summaries = Summaries(
        models.model,
        settings.history_max_tokens,
        models.on_call,
        lambda key, model, usage: parts.budgets.note(key, model, usage, 0),
    )
    stack.push_async_callback(summaries.aclose)
    checkpoints = Checkpoints(knowledge.database, worker, clock=utc_now)
    approvals = Approvals(checkpoints, seconds=settings.approval_seconds, tell_others=tell_others)
    keeper = Keeper(
        conversations, feed, new_id=new_id, clock=time.time, worker=worker, fenced=not knowledge.database.is_sqlite,
        on_first_exchange=titles.consider,
    )  # fmt: skip
    runner = Runner(
        make_graph(settings, knowledge, models, metrics, tools, approvals, tracing is not None),
        event_log,
        sessions,
        keeper,
        Preparation(knowledge.scopes, parts.agents, parts.budgets, summaries, models.book.choose),
        metrics,
        limits=RunLimits(
            settings.run_max_seconds,
            settings.run_max_tokens,
            settings.max_tool_iterations,
            settings.max_active_runs,
            settings.run_attempts,
        ),
        concurrency=settings.session_concurrency,
        new_id=new_id,
        clock=time.time,
        approvals=approvals,
        traces=tracing,
        tell_others=tell_others,
    )
    metrics.count_held(sessions.__len__, lambda: runner.active)
    leases = Leases(knowledge.database, worker, seconds=settings.run_lease_seconds, clock=utc_now, apart=apart(sharing))
    life = WorkerLife(leases, runner.take_over, checkpoints, keeper, event_log, followed(sharing))
    if sharing is not None:
        event_log.fenced = runner.lose
        limit.share(sharing.windows)
        sharing.link.listen(lambda available: life.stand_apart())
        sharing.others.heed(runner, approvals, knowledge.follower.wake)
        knowledge.indexer.on_published = partial(sharing.others.tell, KNOWLEDGE, {})
    tokens = TokenSigner(secret, settings.jwt_algorithm, settings.jwt_access_token_expire_minutes, clock=utc_now)
    accounts = Accounts(
        knowledge.database,
        Passwords(),
        tokens,
        clock=utc_now,
        refresh_days=settings.jwt_refresh_token_expire_days,
        limit=LoginLimit(shared=sharing.windows if sharing else None),
    )
    stack.push_async_callback(accounts.close)
    websockets = WebSocketManager(
        metrics,
        max_per_address=settings.ws_max_connections_per_address,
        heartbeat_seconds=settings.ws_heartbeat_seconds,
        send_timeout=settings.ws_send_timeout_seconds,
    )
    return Container(
        settings=settings,
        version=service_version(),
        metrics=metrics,
        figures=_figures(settings, metrics, knowledge, sessions, runner, websockets, stack),
        limit=limit,
        database=knowledge.database,
        cache=knowledge.cache,
        search=knowledge.search,
        library=knowledge.library,
        scopes=knowledge.scopes,
        indexer=knowledge.indexer,
        follower=knowledge.follower,
        reembedding=knowledge.reembedding,
        embedding_models=knowledge.embedding_models,
        models=models,
        event_log=event_log,
        accounts=accounts,
        conversations=conversations,
        feed=feed,
        chats=Chats(knowledge.database, clock=utc_now, publish=feed.publish),
        agents=parts.agents,
        budgets=parts.budgets,
        stats=parts.stats,
        storage=storage,
        files=open_files(settings, knowledge, storage, on_uploaded=indexing.wake),
        indexing=indexing,
        uploads=open_uploads(settings),
        sessions=sessions,
        checkpoints=checkpoints,
        approvals=approvals,
        tools=tools,
        tracing=tracing,
        runner=runner,
        life=life,
        sharing=sharing,
        completions=Completions(),
        websockets=websockets,
        sent_frames=metrics.ws_messages.labels("out", "run"),
        new_id=new_id,
    )


def _figures(
    settings: Settings, metrics: Metrics, knowledge: Knowledge, sessions: SessionManager, runner: Runner,
    websockets: WebSocketManager, stack: AsyncExitStack,
) -> Figures:  # fmt: skip
    watched: dict[str, Callable[[], float]] = {
        "connections": lambda: websockets.stats()["active_connections"],
        "runs": lambda: runner.active,
        "sessions": lambda: sessions.active,
    }
    figures = Figures(metrics, knowledge.database, knowledge.search.serving, Vitals(settings.data_dir), watched)
    stack.push_async_callback(figures.aclose)
    return figures


def utc_now() -> datetime:
    return datetime.now(UTC)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
