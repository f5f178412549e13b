"""The models that answer: which there are, and whether they can be had."""

from typing import Annotated

from fastapi import APIRouter, Query

from backend.dependencies import Parts
from backend.models import MODES
from backend.schemas.ask import error_responses
from backend.schemas.models import Mode, ModelListBody, ModelStatusBody, model_list, model_status

ModeQuery = Annotated[Mode | None, Query(description="The provider; without it, the one that answers.")]
router = APIRouter(prefix="/api/v1/models", tags=["models"], responses=error_responses(401, 422, 429))


@router.get("/list")
async def list_models(parts: Parts, mode: ModeQuery = None) -> ModelListBody:
    """The models of a provider, as it lists them itself. Which of them a request may choose, the operator says."""
    wanted = mode or parts.model.name
    offers = [offer for offer in parts.models.book.offers if offer.provider == wanted]
    default = offers[0].model if offers else None
    return model_list(wanted, await parts.models.catalogue.models(wanted), offers, default)


@router.get("/status")
async def status_of_models(parts: Parts) -> ModelStatusBody:
    """Whether each provider answers now, measured with a short time to answer, and how long it took."""
    return model_status(await parts.models.catalogue.status(MODES))
