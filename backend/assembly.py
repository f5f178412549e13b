"""The larger pieces of the composition root: the knowledge with its index, and the models."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog

from agents.ports import Model
from backend.settings import Settings
from infrastructure.database.engine import Database
from infrastructure.providers.extractive import ExtractiveProvider
from infrastructure.providers.langchain import LangChainProvider, load_chat_model
from infrastructure.providers.openai import OpenAIProvider
from infrastructure.providers.timeouts import Timeouts
from services.cache import CacheManager
from services.knowledge.index import Indexer
from services.knowledge.library import Library
from services.knowledge.search import SearchIndex
from services.knowledge.sentences import SentenceSelector

log = structlog.get_logger()
OPENAI_URL = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known, how it is found, and what keeps it in step with the folder."""

    database: Database
    cache: CacheManager
    search: SearchIndex
    library: Library
    indexer: Indexer


@dataclass(frozen=True, slots=True)
class Models:
    """The model that answers, and the one that needs none."""

    model: Model
    extractive: Model


def open_models(settings: Settings, search: SearchIndex, stack: AsyncExitStack) -> Models:
    """The configured model (`extractive` where none is), closed with `stack`."""
    extractive = ExtractiveProvider(SentenceSelector(search.idf, search.analysis).best_sentences)
    model: Model = extractive
    if settings.provider == "openai":
        model = _openai(settings)
    elif settings.provider == "langchain":
        model = _langchain(settings)
    stack.push_async_callback(model.aclose)
    return Models(model, extractive)


def _openai(settings: Settings) -> OpenAIProvider:
    return OpenAIProvider(
        base_url=settings.openai_base_url or OPENAI_URL,
        api_key=settings.openai_api_key.get_secret_value() if settings.openai_api_key else None,
        model=settings.chat_model,
        max_retries=settings.provider_max_retries,
        timeouts=Timeouts(
            connect=settings.provider_connect_timeout_seconds,
            first_event=settings.provider_first_byte_timeout_seconds,
            between_events=settings.provider_idle_timeout_seconds,
            total=settings.provider_total_timeout_seconds,
        ),
    )


def _langchain(settings: Settings) -> LangChainProvider:
    options = {"model": settings.chat_model, "max_retries": settings.provider_max_retries}
    if settings.openai_api_key:
        options["api_key"] = settings.openai_api_key.get_secret_value()
    if settings.openai_base_url:
        options["base_url"] = settings.openai_base_url
    return LangChainProvider(load_chat_model(settings.langchain_model_class, **options))
