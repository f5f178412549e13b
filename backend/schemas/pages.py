"""Bodies that the page asks for."""

from typing import Any

from pydantic import BaseModel, ConfigDict

_OFFER: dict[str, Any] = {"source": "openai", "name": "gpt-4o-mini", "default": True}


class ModelOffer(BaseModel):
    """A model that may be chosen: `source` is its provider, as `model_source` of a question."""

    source: str
    name: str
    default: bool


class ModelOffers(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_OFFER], "total": 1}]})

    items: list[ModelOffer]
    total: int
