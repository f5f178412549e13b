"""Embedding models: which there are, which serves, and changing to another."""

from uuid import UUID

from fastapi import APIRouter

from backend.dependencies import Admin, Parts
from backend.routers.strict_json import StrictJsonRoute
from backend.schemas.ask import error_responses
from backend.schemas.embedding_models import (
    EmbeddingModelBody,
    EmbeddingModelChange,
    EmbeddingModelList,
    NewEmbeddingModel,
    embedding_model_body,
    embedding_model_list,
)

router = APIRouter(
    prefix="/api/v1/embedding_models",
    tags=["embedding models"],
    route_class=StrictJsonRoute,
    responses=error_responses(401, 422, 429),
)


@router.get("")
async def list_embedding_models(parts: Parts) -> EmbeddingModelList:
    """The embedding models that are known, and how it stands with each."""
    return embedding_model_list(await parts.embedding_models.all())


@router.post("", status_code=201, dependencies=[Admin], responses=error_responses(403, 409, 503))
async def add_embedding_model(body: NewEmbeddingModel, parts: Parts) -> EmbeddingModelBody:
    """Make a model known, and the default if you wish. One that does not answer is not kept."""
    return embedding_model_body(
        await parts.embedding_models.add(body.provider, body.name, body.description, body.is_default)
    )


@router.patch("/{model_id}", dependencies=[Admin], responses=error_responses(403, 404, 409, 503))
async def change_embedding_model(model_id: UUID, body: EmbeddingModelChange, parts: Parts) -> EmbeddingModelBody:
    """Describe a model, or make it the default. All knowledge is embedded by it in the background then, while the
    former one serves; ask for the list to see how far it has come."""
    return embedding_model_body(await parts.embedding_models.change(str(model_id), body.given()))


@router.delete("/{model_id}", status_code=204, dependencies=[Admin], responses=error_responses(403, 404, 409))
async def delete_embedding_model(model_id: UUID, parts: Parts) -> None:
    """Make a model unknown. The default one, and the one that serves, cannot be deleted."""
    await parts.embedding_models.remove(str(model_id))
