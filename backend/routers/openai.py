"""The service as a model that OpenAI's clients can use: `base_url` is its address and /v1."""

import time
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.responses import Response

from agents.ports import Model
from agents.runner import Ask
from agents.tracing import TracedModel
from backend.container import Container
from backend.dependencies import CallerAddress, Parts, Who
from backend.openai_answers import Answer, RunAnswer
from backend.openai_bare import BareAnswer
from backend.openai_conversation import (
    conversation,
    model_messages,
    passed_on,
    require_agents_own,
    sampling,
    tool_specs,
)
from backend.openai_embeddings import embedded
from backend.openai_models import AGENT, bare_model, find_model, listed_models
from backend.openai_streams import CompletionStream, WholeCompletion
from backend.routers.strict_json import StrictJsonRoute
from backend.schemas.openai import CompletionRequest, EmbeddingRequest
from backend.schemas.openai_answers import (
    CompletionBody,
    EmbeddingListBody,
    OpenAIErrorBody,
    OpenAIModel,
    OpenAIModelList,
)
from infrastructure.errors import ShuttingDown
from infrastructure.providers.types import ModelRequest
from services.budgets import counted_under
from services.principals import Principal

ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "What is wrong with the request.", "model": OpenAIErrorBody},
    "5XX": {"description": "What is wrong here, or with the model.", "model": OpenAIErrorBody},
}
COMPLETED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; with `stream` its chunks as server-sent events, the last of them `[DONE]`.",
        "model": CompletionBody,
        "content": {
            "text/event-stream": {
                "example": 'data: {"id":"chatcmpl-0199…","object":"chat.completion.chunk","created":1767605400,'
                '"model":"askgraph","system_fingerprint":null,"choices":[{"index":0,"delta":{"content":"A health "},'
                '"logprobs":null,"finish_reason":null}]}\n\ndata: [DONE]\n\n'
            }
        },
    }
}
router = APIRouter(prefix="/v1", tags=["OpenAI-compatible"], route_class=StrictJsonRoute, responses=ERRORS)


@router.get("/models")
async def list_openai_models(parts: Parts) -> OpenAIModelList:
    """What `model` may name: `askgraph` is the whole agent, with retrieval, tools and citations; the others are the
    providers' models as they are, and the one that embeds.
    """
    return OpenAIModelList(data=listed_models(parts.models.book, parts.search.serving.embeddings))


@router.get("/models/{model:path}")
async def get_openai_model(parts: Parts, model: Annotated[str, Path(min_length=1, max_length=256)]) -> OpenAIModel:
    """One model."""
    return find_model(parts.models.book, parts.search.serving.embeddings, model)


@router.post("/chat/completions", response_class=Response, responses=COMPLETED)
async def complete(body: CompletionRequest, parts: Parts, who: Who, caller: CallerAddress) -> Any:
    """Continue a conversation. Nothing of it is kept; closing the connection stops the answer.

    `askgraph` takes the last message for the question, looks for it in the knowledge, and gives its citations as the
    message's `annotations` (in a stream in the last delta). Another model gets messages and tools as they are.
    """
    answer = await _begun(body, parts, who, caller)
    created, settings = int(time.time()), parts.settings
    bounds: dict[str, Any] = {"send_timeout": settings.ws_send_timeout_seconds, "on_slow": parts.metrics.dropped.inc}
    if not body.stream:
        return WholeCompletion(answer, created, body.model, **bounds)
    silence = settings.sse_comment_seconds
    return CompletionStream(answer, created, body.model, with_usage=body.with_usage, silence=silence, **bounds)


@router.post("/embeddings", response_class=Response, responses={200: {"model": EmbeddingListBody}})
async def embed(body: EmbeddingRequest, parts: Parts, who: Who, caller: CallerAddress) -> Any:
    """Embed texts with the model that searches the knowledge. Their tokens, which are estimated, count for the day's
    budget.
    """
    counted, embeddings = counted_under(who.user_id, caller), parts.search.serving.embeddings
    await parts.budgets.check(counted)
    used = partial(parts.budgets.note, counted, embeddings.model, questions=0)
    return Response(await embedded(body, embeddings, used), media_type="application/json")


async def _begun(body: CompletionRequest, parts: Container, who: Principal, caller: str) -> Answer:
    if body.model != AGENT:
        return await _bare(body, parts, who, caller)
    require_agents_own(body)
    asked = conversation(body.messages)
    stops = tuple(body.stop or ())
    parts.metrics.queries.inc()
    run = await parts.runner.start(
        Ask(
            asked.question,
            caller,
            owner=who.user_id,
            temperature=body.temperature,
            max_tokens=body.most_tokens,
            stop=stops,
            options=sampling(body),
            turns=asked.turns,
            instructions=asked.instructions,
        )
    )
    return RunAnswer(parts.runner, parts.event_log, run.id, stops)


async def _bare(body: CompletionRequest, parts: Container, who: Principal, caller: str) -> BareAnswer:
    model: Model = bare_model(parts.models.book, body.model)
    if parts.runner.draining:
        raise ShuttingDown("The service is restarting. Ask again in a moment.")
    counted = counted_under(who.user_id, caller)
    await parts.budgets.check(counted)
    request = ModelRequest(
        messages=model_messages(body.messages),
        question="",
        tools=tool_specs(body),
        max_tokens=body.most_tokens,
        temperature=body.temperature,
        stop=tuple(body.stop or ()),
        caller=who.user_id or caller,
        options=passed_on(body),
    )
    used = partial(parts.budgets.note, counted, model.model)
    answer_id = parts.new_id()
    if parts.tracing is not None:
        model = TracedModel(model, parts.tracing, answer_id, who.user_id)
    return BareAnswer(answer_id, model, request, used, parts.completions)
