"""Bodies of the embedding models' routes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.schemas.text import CleanText
from services.embedding_models import EmbeddingModelView

MAX_DESCRIPTION_CHARS = 1000
MAX_NAME_CHARS = 180
Provider = Literal["wordllama", "minilm", "openai", "ollama", "fastembed"]
Description = Annotated[CleanText, Field(max_length=MAX_DESCRIPTION_CHARS)]
_MODEL: dict[str, Any] = {
    "id": "0199f3a0-7c3e-7d63-9a53-0f2f0c8f5a21",
    "name": "text-embedding-3-small",
    "description": "OpenAI's smaller one",
    "provider": "openai",
    "dimensions": 1536,
    "is_default": True,
    "created_at": "2026-01-05T09:30:00Z",
    "updated_at": "2026-01-05T09:30:00Z",
    "state": "preparing",
    "progress": {"done": 512, "total": 2048},
    "error": None,
}


class NewEmbeddingModel(BaseModel):
    """A model to make known. It is asked before it is kept, at the address that the settings have for its provider."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"provider": "openai", "name": "text-embedding-3-small", "description": "OpenAI's smaller one"}
            ]
        }
    )

    provider: Provider
    name: Annotated[CleanText, Field(min_length=1, max_length=MAX_NAME_CHARS)]
    description: Description | None = None
    is_default: bool = False


class EmbeddingModelChange(BaseModel):
    """What is to change. A field that is not sent stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"is_default": True}]})

    description: Description | None = None
    is_default: bool = False

    def given(self) -> dict[str, Any]:
        """The fields that were sent."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class ProgressBody(BaseModel):
    """Chunks that the model has embedded, and how many there are."""

    done: int
    total: int


class EmbeddingModelBody(BaseModel):
    """A model. `serving`: with it is searched. `preparing`: it embeds the knowledge, and serves when it is done.
    `failed`: it does not get on, for `error`; it is tried again now and then, and at once when it is made the default
    anew."""

    model_config = ConfigDict(json_schema_extra={"examples": [_MODEL]})

    id: str
    name: str
    description: str | None
    provider: str
    dimensions: int | None = Field(description="Known once the model has answered.")
    is_default: bool
    created_at: datetime
    updated_at: datetime
    state: Literal["serving", "preparing", "failed", "known"]
    progress: ProgressBody | None
    error: str | None


class EmbeddingModelList(BaseModel):
    items: list[EmbeddingModelBody]
    total: int


def embedding_model_body(view: EmbeddingModelView) -> EmbeddingModelBody:
    row, standing = view.row, view.standing
    progress = standing.progress and ProgressBody(done=standing.progress.done, total=standing.progress.total)
    return EmbeddingModelBody(
        id=row.id,
        name=row.name,
        description=row.description,
        provider=row.provider,
        dimensions=row.dimensions,
        is_default=row.is_default,
        created_at=row.created_at,
        updated_at=row.updated_at,
        state=standing.state,
        progress=progress,
        error=standing.error,
    )


def embedding_model_list(views: Sequence[EmbeddingModelView]) -> EmbeddingModelList:
    items = [embedding_model_body(view) for view in views]
    return EmbeddingModelList(items=items, total=len(items))
