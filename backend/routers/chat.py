"""A question in the words of two older clients, told apart by what they call it: `prompt` or `message`."""

import time
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from agents.ports import Model
from agents.questions import clean_request_id
from agents.runner import Ask, RunHandle
from backend.answer_streams import ConversationStream, TextStream
from backend.container import Container
from backend.dependencies import CallerAddress, IdempotencyKey, Parts, Who
from backend.routers.strict_json import StrictJsonRoute
from backend.run_end import answer_facts, run_end
from backend.schemas.aliases import (
    ChatRequest,
    MessageRequest,
    MessageResponse,
    PromptRequest,
    PromptResponse,
)
from backend.schemas.ask import error_responses
from infrastructure.errors import InvalidInput
from services.principals import Principal

router = APIRouter(
    prefix="/api/v1", tags=["older clients"], route_class=StrictJsonRoute,
    responses=error_responses(401, 404, 409, 422, 429, 502, 503),
)  # fmt: skip
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "To a prompt: the answer's text. To a message: server-sent events with frames of type `start`, "
        "`chunk`, `done` and `error`.",
        "content": {
            "text/plain": {"example": "A health factor below one means …"},
            "text/event-stream": {"example": 'data: {"type":"chunk","content":"A health "}\n\n'},
        },
    }
}


@router.post("/chat")
@router.post("/chat/", include_in_schema=False)
async def chat(
    body: ChatRequest, parts: Parts, who: Who, caller: CallerAddress, key: IdempotencyKey = None
) -> PromptResponse | MessageResponse:
    """Ask within a conversation, and get the whole answer. One is begun if none is named."""
    created_at, began = datetime.now(UTC), time.monotonic()
    run = await start(parts, body, who, caller, key)
    end = await run_end(parts.event_log, run.id)
    seconds = time.monotonic() - began
    names = {"session": run.session_id or "", "answer": run.answer_id or run.id}
    if isinstance(body, MessageRequest):
        facts = answer_facts(end, seconds)
        return MessageResponse(
            response=end.answer, conversation_id=names["session"], message_id=names["answer"], **dict(facts)
        )
    return PromptResponse(
        response_id=names["answer"], request=body, response=end.answer, created_at=created_at,
        completed_at=datetime.now(UTC), elapsed_time_ms=round(seconds * 1000, 1), model_name=end.model,
        finish_reason=end.finish_reason, session_id=names["session"],
    )  # fmt: skip


@router.post("/chat/stream", response_class=Response, responses=STREAM)
@router.post("/chat/stream/", response_class=Response, include_in_schema=False)
async def chat_stream(
    body: ChatRequest, parts: Parts, who: Who, caller: CallerAddress, key: IdempotencyKey = None
) -> Any:
    """Ask within a conversation, and read the answer as it is written. Who leaves does not stop it."""
    run = await start(parts, body, who, caller, key)
    timeout, dropped = parts.settings.ws_send_timeout_seconds, parts.metrics.dropped.inc
    if isinstance(body, PromptRequest):
        return TextStream(parts.event_log, run, send_timeout=timeout, on_slow=dropped)
    silence = parts.settings.sse_comment_seconds
    return ConversationStream(parts.event_log, run, silence=silence, send_timeout=timeout, on_slow=dropped)


async def start(
    parts: Container, body: PromptRequest | MessageRequest, who: Principal, caller: str, key: str | None
) -> RunHandle:
    """Start the run that a request asks for, or join it."""
    request_id = clean_request_id(key)
    parts.metrics.queries.inc()
    chat_id = str(body.chat_id) if body.chat_id else None
    return await parts.runner.start(
        Ask(
            body.question, caller, chat_id, keep=True, request_id=request_id, owner=who.user_id,
            must_exist=body.must_exist, file_ids=body.files, rag_mode=body.mode, model=chosen_model(parts, body),
            temperature=body.answer_temperature, max_tokens=body.answer_tokens,
        )
    )  # fmt: skip


def chosen_model(parts: Container, body: PromptRequest | MessageRequest) -> Model | None:
    """The model that the request names; None for the default.

    Older clients always name one. Where the operator offers no choice it is not looked at; where MODEL_CHOICES is set,
    one that may not be chosen is refused.
    """
    if body.model_name is None and body.source is None:
        return None
    try:
        return parts.models.book.choose(body.source, body.model_name)
    except InvalidInput:
        if parts.settings.model_choices:
            raise
        return None
