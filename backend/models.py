"""The models that answer, made from the settings: each provider once, whichever of its models is asked."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from pydantic import SecretStr

from agents.models import ModelBook, Offer
from agents.ports import Model
from backend.embedders import OPENAI_URL
from backend.model_settings import CHAT_PROVIDERS, EXTRACTIVE, LOCAL_URL
from backend.settings import Settings
from infrastructure.monitoring import Metrics
from infrastructure.providers.catalogue import Catalogue, Listed
from infrastructure.providers.chain import FallbackModel
from infrastructure.providers.circuit import Circuit
from infrastructure.providers.endpoint import Token
from infrastructure.providers.extractive import ExtractiveProvider
from infrastructure.providers.fair_line import FairLine
from infrastructure.providers.guarded import Care, Gate, GuardedModel, Upstream
from infrastructure.providers.langchain import LangChainProvider
from infrastructure.providers.langchain_loading import load_chat_model
from infrastructure.providers.listing import Listing, OllamaListing, OpenAIListing
from infrastructure.providers.oauth import Grant, OAuthTokens
from infrastructure.providers.ollama import OllamaProvider
from infrastructure.providers.openai import OpenAIProvider
from infrastructure.providers.pulling import Pulls
from infrastructure.providers.timeouts import Timeouts

MODES = ("ollama", "openai", "aihub", "local")
"""What /models/status tells of."""


@dataclass(frozen=True, slots=True)
class Models:
    """The model that answers, the one that needs none, all that may be chosen, and what the providers tell."""

    model: Model
    extractive: Model
    book: ModelBook
    catalogue: Catalogue
    pulls: Pulls
    on_call: Callable[[str, str], None]
    """For whoever calls a model: counts what no gate counts."""


@dataclass(frozen=True, slots=True)
class _Provider:
    upstream: Upstream
    gate: Gate


def make_models(settings: Settings, extractive: ExtractiveProvider, metrics: Metrics, stack: AsyncExitStack) -> Models:
    """All configured providers, closed with `stack`. Nothing is asked of them here.

    Raises:
        ValueError: an address or a key cannot be used, or there is no such LangChain model.
    """
    tokens = _tokens(settings, stack)
    providers: dict[str, _Provider] = {name: _provider(settings, name, tokens, metrics) for name in settings.providers}
    for provider in providers.values():
        stack.push_async_callback(provider.upstream.aclose)
    care = Care(settings.provider_max_retries, settings.provider_total_timeout_seconds)

    def guarded(name: str, model: str) -> GuardedModel:
        provider = providers[name]
        one_of_many = name != "langchain"
        if not one_of_many and model not in (settings.model_of(name), provider.upstream.model):
            raise KeyError(model)  # what was loaded is one model
        return GuardedModel(provider.upstream, provider.gate, care, model=model if one_of_many else None)

    def opened(name: str, model: str, alone: bool) -> Model:
        if name == EXTRACTIVE:
            return extractive
        others = () if alone else settings.fallback_models
        behind = [guarded(*other) for other in others if other != (name, model)]
        return FallbackModel(guarded(name, model), behind, settings.provider_max_retries)

    default = opened(settings.provider, settings.chat_model, False)
    book = ModelBook(default, _offers(settings, default), settings.model_choices, opened)
    metrics.models.know(
        ("curated", EXTRACTIVE, *(offer.model for offer in book.offers)),
        lambda model: any(book.allows(provider, model) for provider in providers),
    )
    pulls = Pulls(settings.ollama_base_url)
    stack.push_async_callback(pulls.aclose)
    catalogue = Catalogue(_listed(settings, tokens, providers, pulls))
    stack.push_async_callback(catalogue.aclose)
    pulls.on_change = partial(catalogue.forget, "ollama")
    return Models(default, extractive, book, catalogue, pulls, _counting(metrics, gated=False))


def _offers(settings: Settings, default: Model) -> tuple[Offer, ...]:
    """The default, each configured provider's own, and those that the settings name."""
    first = (default.name, default.model)
    own = [(name, settings.model_of(name)) for name in settings.providers if name != default.name]
    named = [first, *own, *settings.named_models]
    if EXTRACTIVE in settings.model_fallbacks:
        named.append((EXTRACTIVE, EXTRACTIVE))
    return tuple(Offer(name, model, (name, model) == first) for name, model in dict.fromkeys(named))


def _provider(settings: Settings, name: str, tokens: OAuthTokens | None, metrics: Metrics) -> _Provider:
    state = metrics.circuit.labels(name)
    state.set(0)
    gate = Gate(
        Circuit(settings.circuit_open_seconds, on_change=state.set),
        FairLine(settings.provider_max_concurrent),
        _counting(metrics, gated=True),
    )
    return _Provider(_upstream(settings, name, tokens), gate)


def _upstream(settings: Settings, name: str, tokens: OAuthTokens | None) -> Upstream:
    model, timeouts = settings.model_of(name), _timeouts(settings)
    if name == "langchain":
        return _langchain(settings, timeouts)
    if name == "ollama":
        return OllamaProvider(base_url=settings.ollama_base_url, model=model, timeouts=timeouts)
    url, key, verify = _endpoint(settings, name, tokens)
    return OpenAIProvider(base_url=url, api_key=key, model=model, name=name, timeouts=timeouts, verify_ssl=verify)


def _endpoint(settings: Settings, name: str, tokens: OAuthTokens | None) -> tuple[str, str | Token | None, bool]:
    """Base URL, key, and whether its certificate is checked, of an OpenAI-compatible provider."""
    if name == "aihub":
        return settings.aihub_url or "", tokens, settings.aihub_verify_ssl
    if name == "local":
        return settings.local_model_url or LOCAL_URL, None, True
    return settings.openai_base_url or OPENAI_URL, _plain(settings.openai_api_key), True


def _tokens(settings: Settings, stack: AsyncExitStack) -> OAuthTokens | None:
    if "aihub" not in settings.providers:
        return None
    grant = Grant(
        settings.aihub_client_id or "",
        _plain(settings.aihub_client_secret),
        settings.aihub_username,
        _plain(settings.aihub_password),
    )
    tokens = OAuthTokens(settings.aihub_keycloak_host or "", grant, verify_ssl=settings.aihub_verify_ssl)
    stack.push_async_callback(tokens.aclose)
    return tokens


def check_chat_model(settings: Settings) -> None:
    """Look at the LangChain model that is configured, if one is, before the service starts.

    Raises:
        NoChatModel: it cannot be had; the message says what to install.
    """
    if "langchain" in settings.providers:
        _langchain(settings, _timeouts(settings))


def _langchain(settings: Settings, timeouts: Timeouts) -> LangChainProvider:
    options = {
        "model": settings.model_of("langchain"),
        "max_retries": 0,  # ours are enough
        "api_key": _plain(settings.openai_api_key),
        "base_url": settings.openai_base_url,
    }
    given = {name: value for name, value in options.items() if value is not None}
    return LangChainProvider(load_chat_model(settings.langchain_model_class, **given), timeouts=timeouts)


def _listed(
    settings: Settings, tokens: OAuthTokens | None, providers: Mapping[str, _Provider], pulls: Pulls
) -> dict[str, Listed]:
    """What tells of itself. Ollama is looked for also where nothing names it: it has a place of its own."""

    def listing(name: str) -> Listing:
        if name == "ollama":
            wanted = settings.model_of("ollama") if "ollama" in providers else None
            return OllamaListing(settings.ollama_base_url, wanted=wanted, pulls=pulls)
        url, key, verify = _endpoint(settings, name, tokens)
        return OpenAIListing(url, key, verify_ssl=verify)

    names = [name for name in MODES if name in providers or name == "ollama"]
    return {name: Listed(listing(name), providers[name].gate.circuit if name in providers else None) for name in names}


def _counting(metrics: Metrics, *, gated: bool) -> Callable[[str, str], None]:
    """Counts each try of a provider where it passes its gate, and the calls of what has no gate where it is called."""

    def count(provider: str, outcome: str) -> None:
        if gated is not (provider in CHAT_PROVIDERS):
            return
        if outcome == "cancelled":  # it says nothing of the model's health
            metrics.provider_requests.labels(provider, outcome).inc()
        else:
            metrics.provider_called(provider, outcome)

    return count


def _timeouts(settings: Settings) -> Timeouts:
    return Timeouts(
        connect=settings.provider_connect_timeout_seconds,
        first_event=settings.provider_first_byte_timeout_seconds,
        between_events=settings.provider_idle_timeout_seconds,
        total=settings.provider_total_timeout_seconds,
    )


def _plain(key: SecretStr | None) -> str | None:
    return key.get_secret_value() if key else None
