"""The models that embed and rerank, as the settings have them. Nothing is asked of a model here."""

import re
from collections.abc import Callable
from typing import Final

from pydantic import SecretStr

from backend.settings import Settings
from infrastructure.embedders.local_extra import not_installed
from infrastructure.errors import ProviderError, ProviderRejected
from services.cache import CacheManager
from services.embedding_specs import FASTEMBED, MINILM, OLLAMA, OPENAI, WORDLLAMA, ModelSpec
from services.embeddings import Embedder, Embeddings, LocalEmbedder
from services.knowledge.reranking import Reranker, Reranking
from services.serving_model import Unopenable

OPENAI_URL = "https://api.openai.com/v1"
_SHORTER = re.compile(r"(.+)@([1-9]\d{0,4})$")  # text-embedding-3-large@1024: vectors of so many dimensions
_AT_ONCE: Final = {OPENAI: (64, 4)}  # texts of a request, and requests at once, where not (256, 1)


def embedding_opener(settings: Settings, cache: CacheManager | None) -> Callable[[ModelSpec], Embeddings]:
    """An `Opener`: makes models behind the cache."""

    def opened(spec: ModelSpec) -> Embeddings:
        batch, concurrency = _AT_ONCE.get(spec.provider, (256, 1))
        return Embeddings(open_embedder(settings, spec), cache, batch, concurrency=concurrency)

    return opened


def open_wanted(opener: Callable[[ModelSpec], Embeddings], spec: ModelSpec) -> Embeddings:
    """The model, or what stands in its place and says why it cannot be had."""
    try:
        return opener(spec)
    except ProviderError as fault:
        return Embeddings(Unopenable(spec.kept, fault))


def open_embedder(settings: Settings, spec: ModelSpec) -> Embedder | LocalEmbedder:
    """
    Raises:
        ProviderRejected: a package that it needs is not installed, or the key cannot be sent.
    """
    try:
        return _embedder(settings, spec)
    except ValueError as fault:
        raise ProviderRejected("The embedding model's address or key cannot be used.") from fault


def open_reranking(settings: Settings) -> Reranking | None:
    """The reranker of the settings; None where there is none.

    Raises:
        ProviderRejected: as `open_embedder`.
    """
    reranker = _reranker(settings)
    return Reranking(reranker) if reranker else None


def check_models(settings: Settings) -> None:
    """Look at what is configured, before the service starts.

    Raises:
        ProviderRejected: it cannot be used; the message says what to install.
    """
    if settings.embedding_spec.provider != WORDLLAMA:  # that one is always there, and takes a moment to open
        open_embedder(settings, settings.embedding_spec)
    open_reranking(settings)


def _embedder(settings: Settings, spec: ModelSpec) -> Embedder | LocalEmbedder:
    """Each is imported where it is used: what is not configured costs nothing."""
    folder = settings.cache_dir / "models"
    if spec.provider == OPENAI:
        from infrastructure.embedders.openai import OpenAIEmbedder

        shorter = _SHORTER.match(spec.name)
        return OpenAIEmbedder(
            base_url=settings.embeddings_base_url or settings.openai_base_url or OPENAI_URL,
            api_key=_secret(settings.embeddings_api_key or settings.openai_api_key),
            model=shorter[1] if shorter else spec.name,
            dimensions=int(shorter[2]) if shorter else None,
        )
    if spec.provider == OLLAMA:
        from infrastructure.embedders.ollama import OllamaEmbedder

        return OllamaEmbedder(base_url=settings.ollama_base_url, model=spec.name)
    if spec.provider == FASTEMBED:
        from infrastructure.embedders.fastembed import FastEmbedder

        return FastEmbedder(spec.name, cache_folder=folder)
    if spec.provider == MINILM:
        from infrastructure.embedders.minilm import MiniLMEmbedder

        return MiniLMEmbedder(folder)
    return _wordllama()


def _wordllama() -> LocalEmbedder:
    from infrastructure.embedders.wordllama import WordLlamaEmbedder

    try:
        return WordLlamaEmbedder()
    except FileNotFoundError as fault:
        raise not_installed("wordllama", "pip install -r requirements.txt") from fault


def _reranker(settings: Settings) -> Reranker | None:
    kind, _, model = settings.reranker.partition(":")
    if kind == "none":
        return None
    if kind == "http":
        from infrastructure.rerankers.http import HttpReranker

        try:
            return HttpReranker(
                base_url=settings.reranker_base_url or "",
                api_key=_secret(settings.reranker_api_key),
                model=settings.reranker_model or "",
            )
        except ValueError as fault:
            raise ProviderRejected("The reranker's address or key cannot be used.") from fault
    from infrastructure.rerankers.fastembed import FastEmbedReranker

    return FastEmbedReranker(model, cache_folder=settings.cache_dir / "models")


def _secret(key: SecretStr | None) -> str | None:
    return key.get_secret_value() if key else None
