"""The larger pieces of the composition root: the knowledge with its index, and the models."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from backend.embedders import embedding_opener, open_reranking, open_wanted
from backend.models import Models, make_models
from backend.settings import Settings
from infrastructure.cache_store import CacheStore
from infrastructure.database.engine import Database, open_engine
from infrastructure.database.migrate import bring_up_to_date
from infrastructure.lexical.tantivy import LexicalIndex
from infrastructure.monitoring import Metrics
from infrastructure.providers.extractive import ExtractiveProvider
from services.cache import CacheManager
from services.embedding_choice import open_serving, settle_default
from services.embedding_models import EmbeddingModels
from services.embeddings import Embeddings
from services.knowledge.following import KnowledgeFollower
from services.knowledge.index import Indexer
from services.knowledge.library import Library
from services.knowledge.postgres_search import PostgresSearch
from services.knowledge.reading_process import ReadingLimits, ReadingProcess
from services.knowledge.reranking import Reranking
from services.knowledge.scopes import Scopes
from services.knowledge.search import SearchIndex
from services.knowledge.sentences import SentenceSelector
from services.knowledge.stored import StoredChunks
from services.reembedding import Reembedding

log = structlog.get_logger()


AnySearch = SearchIndex | PostgresSearch


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known, how it is found, and what keeps it in step with the folder."""

    database: Database
    cache: CacheManager
    stored: StoredChunks
    search: AnySearch
    library: Library
    scopes: Scopes
    indexer: Indexer
    follower: KnowledgeFollower
    reembedding: Reembedding
    embedding_models: EmbeddingModels


async def open_knowledge(settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> Knowledge:
    """The database (brought up to date), the cache, the search index and what keeps them in step; not yet loaded."""
    engine = open_engine(settings.database_url, pool_size=settings.database_pool_size)
    database = Database(engine)
    stack.push_async_callback(database.close)
    await bring_up_to_date(settings.database_url)
    cache = CacheManager(
        CacheStore(settings.cache_dir),
        max_bytes=settings.cache_max_size,
        expiry_days=settings.cache_expiry_days,
        enabled=settings.cache_enabled,
        on_operation=lambda operation, result: metrics.cache_operations.labels(operation, result).inc(),
    )
    await cache.open()
    stack.push_async_callback(cache.close)
    opener = embedding_opener(settings, cache)
    explicit = settings.agent_embedding_model is not None
    default = await settle_default(database, settings.embedding_spec, explicit=explicit, clock=_now)
    wanted = open_wanted(opener, default)
    embeddings = await open_serving(database, wanted, opener)
    reranking = open_reranking(settings)
    stored = StoredChunks(database, embeddings.model, embeddings.dimensions)
    search = _open_search(settings, database, embeddings, stored, reranking)
    reembedding = Reembedding(database, search, wanted)
    stack.push_async_callback(reembedding.aclose)
    if reranking is not None:
        stack.push_async_callback(reranking.aclose)
    stack.push_async_callback(search.aclose)
    library = Library(database)
    # One of its own: the folder's files do not wait behind uploads. Nothing starts before there is something to read.
    reading = ReadingProcess(ReadingLimits(), chunk_size=settings.chunk_size, chunk_overlap=settings.chunk_overlap)
    stack.push_async_callback(reading.aclose)
    indexer = Indexer(
        settings.knowledge_dir,
        database,
        search.serving,
        search,
        chunk_size=settings.chunk_size,
        chunk_overlap=settings.chunk_overlap,
        max_bytes=settings.max_filesize_mb * 1024 * 1024,
        process=reading,
        on_change=library.forget,
    )
    stack.push_async_callback(indexer.aclose)
    follower = KnowledgeFollower(database, search, library, lambda: indexer.writing)
    models = EmbeddingModels(database, reembedding, opener, clock=_now)
    return Knowledge(database, cache, stored, search, library, Scopes(database), indexer, follower, reembedding, models)


def _open_search(
    settings: Settings, database: Database, embeddings: Embeddings, stored: StoredChunks, reranking: Reranking | None
) -> AnySearch:
    threshold = settings.agent_similarity_threshold
    if settings.search_backend == "postgres":
        return PostgresSearch(embeddings, database, stored, curated_threshold=threshold, reranking=reranking)
    lexical = LexicalIndex(settings.data_dir / "index")
    return SearchIndex(
        embeddings, lexical, stored, curated_threshold=threshold, reranking=reranking, alone=database.is_sqlite
    )


def open_models(settings: Settings, search: AnySearch, metrics: Metrics, stack: AsyncExitStack) -> Models:
    """The configured models (`extractive` where none is), closed with `stack`."""
    extractive = ExtractiveProvider(SentenceSelector(search.idf, search.analysis).best_sentences)
    return make_models(settings, extractive, metrics, stack)


def _now() -> datetime:
    return datetime.now(UTC)
