"""The models that answer: which there are, and whether they can be had."""

from typing import Annotated

from fastapi import APIRouter, Query

from backend.dependencies import Admin, Parts
from backend.models import MODES
from backend.routers.strict_json import StrictJsonRoute
from backend.schemas.ask import error_responses
from backend.schemas.models import Mode, ModelListBody, ModelPull, ModelStatusBody, PullBody, model_list, model_status

ModeQuery = Annotated[Mode | None, Query(description="The provider; without it, the one that answers.")]
router = APIRouter(
    prefix="/api/v1/models", tags=["models"], route_class=StrictJsonRoute, responses=error_responses(401, 422, 429)
)


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


@router.post("/pull", status_code=202, dependencies=[Admin], responses=error_responses(403, 409, 502, 503))
async def pull_model(body: ModelPull, parts: Parts) -> PullBody:
    """Have Ollama fetch a model. It goes on by itself; how far it has come stands in the status of `ollama`. A model
    that is being fetched already is not fetched twice."""
    pull = await parts.models.pulls.start(body.model)
    return PullBody(model=pull.model, detail=pull.detail)
