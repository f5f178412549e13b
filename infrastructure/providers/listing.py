"""Which models a provider has, and whether it answers: asked of its own lists, never of a model."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import aiohttp
import orjson

from infrastructure.errors import ProviderError, ProviderProtocolError, ProviderRejected, ProviderUnavailable
from infrastructure.providers.body import read_limited
from infrastructure.providers.endpoint import Endpoint, Token, hang_up
from infrastructure.providers.ollama import ollama_root, same_model
from infrastructure.providers.pulling import Pulls

Capability = Literal["chat", "embedding"]

MAX_BODY = 4 << 20  # bytes: OpenRouter's list of 400 models has half a megabyte
MOST_MODELS = 2000
_NAME = re.compile(r"[!-~](?:[ -~]{0,198}[!-~])?")
_VERSION = re.compile(r"[\w.+-]{1,40}")
_EMBEDS = re.compile(r"embed|(^|[/:_-])(bge|e5|gte|minilm|all-minilm|arctic|nomic-bert)\b", re.IGNORECASE)
_NEITHER = re.compile(r"whisper|tts|dall-e|image|moderation|transcribe|realtime|sora|audio|rerank", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model as its provider names it."""

    name: str
    capability: Capability


class NoList(ProviderRejected):
    """The endpoint answers and has no list of models."""


class NotPulled(ProviderRejected):
    """The endpoint answers, and its model has still to be fetched."""


class Listing(Protocol):
    """What a provider tells of itself."""

    async def models(self) -> tuple[ListedModel, ...]:
        """
        Raises:
            NoList: it has none.
            ProviderError: it does not answer, or not as it should.
        """

    async def probe(self) -> str:
        """Ask for something cheap; what there is to say of it, in a word or two.

        Raises:
            ProviderError: as `models`.
        """

    async def aclose(self) -> None: ...


class OpenAIListing:
    """`GET /models` of an OpenAI-compatible endpoint."""

    def __init__(
        self, base_url: str, key: str | Token | None, *, connect_seconds: float = 2.0, verify_ssl: bool = True
    ) -> None:
        self._models = Endpoint(base_url, "/models", key, connect_seconds, verify_ssl=verify_ssl)

    async def models(self) -> tuple[ListedModel, ...]:
        entries = _entries(await _json(self._models), "data")
        return _listed((entry.get("id"), None) for entry in entries)

    async def probe(self) -> str:
        try:
            await _json(self._models)
        except NoList:
            return "answers, and has no list of models"
        return "ok"

    async def aclose(self) -> None:
        await self._models.aclose()


class OllamaListing:
    """`GET /api/tags` and `/api/version`: https://docs.ollama.com/api/tags. What is listed has been pulled.

    `wanted` is the model that it is asked for, where there is one: without it, it is not available.
    """

    def __init__(
        self, base_url: str, *, wanted: str | None = None, pulls: Pulls | None = None, connect_seconds: float = 2.0
    ) -> None:
        root = ollama_root(base_url)
        self._tags = Endpoint(root, "/api/tags", None, connect_seconds)
        self._version = Endpoint(root, "/api/version", None, connect_seconds)
        self._wanted = wanted
        self._pulls = pulls

    async def models(self) -> tuple[ListedModel, ...]:
        return _listed((name, _family(entry)) for name, entry in await self._pulled())

    async def probe(self) -> str:
        """
        Raises:
            NotPulled: the wanted model is not there.
        """
        answer = await _json(self._version)
        version = answer.get("version") if isinstance(answer, dict) else None
        said = [f"version {version}"] if isinstance(version, str) and _VERSION.fullmatch(version) else []
        told = [pull.detail for pull in self._pulls.told()] if self._pulls is not None else []
        if self._wanted is not None and not await self._has(self._wanted):
            underway = self._pulls.of(self._wanted) if self._pulls is not None else None
            if underway is None or underway.fault is not None:
                told.insert(0, f"It does not have {self._wanted}: run `ollama pull {self._wanted}`")
            raise NotPulled("; ".join(told))
        return "; ".join([*said, *told]) or "ok"

    async def aclose(self) -> None:
        await self._tags.aclose()
        await self._version.aclose()

    async def _has(self, model: str) -> bool:
        return any(isinstance(name, str) and same_model(name, model) for name, _ in await self._pulled())

    async def _pulled(self) -> list[tuple[Any, dict[str, Any]]]:
        entries = _entries(await _json(self._tags), "models")
        return [(entry.get("name") or entry.get("model"), entry) for entry in entries]


def capability_of(name: str, family: str | None = None) -> Capability | None:
    """What a model is for, by its family where that is told, else by its name; None where it is for neither."""
    if (family is not None and "bert" in family.lower()) or _EMBEDS.search(name):
        return "embedding"
    return None if _NEITHER.search(name) else "chat"


def _listed(found: Iterable[tuple[Any, str | None]]) -> tuple[ListedModel, ...]:
    """Sorted, each name once; what is no name is left out."""
    models: dict[str, ListedModel] = {}
    for name, family in found:
        if isinstance(name, str) and _NAME.fullmatch(name) and (capability := capability_of(name, family)):
            models[name] = ListedModel(name, capability)
    return tuple(models[name] for name in sorted(models))


def _entries(answer: Any, field: str) -> list[dict[str, Any]]:
    entries = answer.get(field) if isinstance(answer, dict) else answer
    if not isinstance(entries, list):
        raise ProviderProtocolError("It has a list of models of the wrong shape.")
    return [entry for entry in entries[:MOST_MODELS] if isinstance(entry, dict)]


def _family(entry: dict[str, Any]) -> str | None:
    details = entry.get("details")
    family = details.get("family") if isinstance(details, dict) else None
    return family if isinstance(family, str) else None


_OF_STATUS: Final = {401: "It refuses the key.", 403: "It refuses the key.", 429: "It has too much to do."}


async def _json(endpoint: Endpoint) -> Any:
    """The answer's JSON value. Times are set by whoever asks: cancelled, it has closed its connection."""
    response = None
    try:
        response = await endpoint.get()
        if response.status != 200:
            raise _refused(response.status)
        return orjson.loads(await read_limited(response, MAX_BODY))
    except aiohttp.ClientError as fault:
        raise ProviderUnavailable("It cannot be reached.") from fault
    except orjson.JSONDecodeError as fault:
        raise ProviderProtocolError("It answers with something that is not JSON.") from fault
    finally:
        if response is None or not response.content.at_eof():
            await hang_up(response)


def _refused(status: int) -> ProviderError:
    if status in (404, 405):
        return NoList("It has no list of models.")
    return (ProviderUnavailable if status >= 429 else ProviderRejected)(
        _OF_STATUS.get(status, f"It answers with status {status}.")
    )
