"""Bodies of the models' routes."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agents.models import Offer
from infrastructure.providers.catalogue import Availability
from infrastructure.providers.listing import ListedModel

Mode = Literal["local", "ollama", "openai", "aihub"]
_LIST: dict[str, Any] = {
    "mode": "ollama",
    "models": [
        {"name": "llama3.2:latest", "capability": "chat", "default": True},
        {"name": "nomic-embed-text:latest", "capability": "embedding", "default": False},
    ],
}
_THERE: dict[str, Any] = {"available": True, "latency_ms": 3.1, "detail": "version 0.12.3"}
_AWAY: dict[str, Any] = {"available": False, "latency_ms": None, "detail": "It is not configured."}


_PART = "[A-Za-z0-9][A-Za-z0-9_.-]{0,79}"
_PULLED_FROM = r"(?:(?:registry\.ollama\.ai|hf\.co|huggingface\.co)/)?"  # no other host is asked for a model
PULL_NAME = f"^{_PULLED_FROM}(?:{_PART}/)?{_PART}(?::{_PART})?$"


class ModelPull(BaseModel):
    """A model for Ollama to fetch: `llama3.2`, `qwen3:4b`, `somebody/model`, `hf.co/somebody/model:Q4_K_M`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "llama3.2"}]})

    model: Annotated[str, Field(max_length=200, pattern=PULL_NAME)]


class PullBody(BaseModel):
    """A fetch that is under way."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": "llama3.2:latest", "detail": "pulling llama3.2:latest: 41 %"}]}
    )

    model: str
    detail: str


class ModelBody(BaseModel):
    """A model. `default`: it is what the provider is asked for when nothing else is chosen."""

    name: str
    capability: Literal["chat", "embedding"]
    default: bool


class ModelListBody(BaseModel):
    """The models of a provider. Of one that does not answer: those that the settings name."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LIST]})

    mode: str
    models: list[ModelBody]


class AvailabilityBody(BaseModel):
    """Whether a provider can be had, as measured a few seconds ago at most."""

    available: bool
    latency_ms: float | None
    detail: str


class ModelStatusBody(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ollama": _THERE, "openai": _AWAY, "aihub": _AWAY, "local": _AWAY}]}
    )

    ollama: AvailabilityBody
    openai: AvailabilityBody
    aihub: AvailabilityBody
    local: AvailabilityBody


def model_list(
    mode: str, listed: Iterable[ListedModel] | None, offers: Iterable[Offer], default: str | None
) -> ModelListBody:
    """`default` is the provider's own default, `offers` what the settings name of it."""
    found = listed if listed is not None else [ListedModel(offer.model, "chat") for offer in offers]
    names = {model.name for model in found}
    tagged = f"{default}:latest" if default not in names else default  # Ollama's word for a model without a tag
    return ModelListBody(
        mode=mode,
        models=[
            ModelBody(name=model.name, capability=model.capability, default=model.name in (default, tagged))
            for model in found
        ],
    )


def model_status(found: Mapping[str, Availability]) -> ModelStatusBody:
    return ModelStatusBody(
        **{
            name: AvailabilityBody(available=one.available, latency_ms=one.latency_ms, detail=one.detail)
            for name, one in found.items()
        }
    )
