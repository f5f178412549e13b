"""Messages of a chat: read them, ask, ask anew, and say what you think of an answer."""

from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Query

from agents.questions import clean_request_id
from agents.runner import Ask
from backend.container import Container
from backend.dependencies import CallerAddress, IdempotencyKey, Parts, Who
from backend.routers.ask import RunFailed
from backend.routers.strict_json import StrictJsonRoute
from backend.schemas.ask import error_responses
from backend.schemas.chats import (
    Exchange,
    FeedbackBody,
    MessageBody,
    MessageList,
    NewFeedback,
    NewMessage,
    exchange_body,
    feedback_body,
    message_body,
    message_list,
)
from infrastructure.errors import StorageUnavailable

router = APIRouter(
    prefix="/api/v1/chats/{chat_id}/messages",
    tags=["messages"],
    route_class=StrictJsonRoute,
    responses=error_responses(401, 404, 422, 429),
)
ASKED = error_responses(409, 502, 503)


@router.get("")
async def list_messages(
    chat_id: UUID,
    parts: Parts,
    who: Who,
    superseded: Annotated[bool, Query(description="Also what edits and new answers took the place of.")] = False,
) -> MessageList:
    """The conversation as it stands, in order."""
    return message_list(await parts.chats.messages(str(chat_id), who.user_id, superseded=superseded))


@router.get("/{message_id}")
async def get_message(chat_id: UUID, message_id: UUID, parts: Parts, who: Who) -> MessageBody:
    """One message, of whichever branch."""
    return message_body(await parts.chats.message(str(chat_id), str(message_id), who.user_id))


@router.post("", status_code=201, responses=ASKED)
async def ask_in_chat(
    chat_id: UUID, body: NewMessage, parts: Parts, who: Who, caller: CallerAddress, key: IdempotencyKey = None
) -> Exchange:
    """Ask, and get the whole answer. Both stay in the chat.

    An answer that was cut short has `status` `incomplete` or `error`. Where nothing was written before it failed the
    response is that error, and the question is in the chat all the same.
    """
    ask = Ask(
        body.content, caller, str(chat_id), keep=True, request_id=clean_request_id(key), owner=who.user_id,
        must_exist=True,
    )  # fmt: skip
    return await answered(parts, str(chat_id), ask)


@router.post("/{message_id}/regenerate", status_code=201, responses=ASKED)
async def regenerate_answer(
    chat_id: UUID, message_id: UUID, parts: Parts, who: Who, caller: CallerAddress, key: IdempotencyKey = None
) -> Exchange:
    """Answer a question anew, named by its own id or by its answer's. What followed it becomes an older branch."""
    question = await parts.chats.question_of(str(chat_id), str(message_id), who.user_id)
    ask = Ask(
        "", caller, str(chat_id), keep=True, request_id=clean_request_id(key), owner=who.user_id, must_exist=True,
        regenerates=question,
    )  # fmt: skip
    return await answered(parts, str(chat_id), ask)


@router.patch("/{message_id}", status_code=201, responses=ASKED)
async def edit_message(
    chat_id: UUID, message_id: UUID, body: NewMessage, parts: Parts, who: Who, caller: CallerAddress,
    key: IdempotencyKey = None,
) -> Exchange:  # fmt: skip
    """Ask a question differently, and get the answer. The old one and what followed it become an older branch."""
    ask = Ask(
        body.content, caller, str(chat_id), keep=True, request_id=clean_request_id(key), owner=who.user_id,
        must_exist=True, edits=str(message_id),
    )  # fmt: skip
    return await answered(parts, str(chat_id), ask)


@router.post("/{message_id}/feedback", status_code=201)
async def give_feedback(chat_id: UUID, message_id: UUID, body: NewFeedback, parts: Parts, who: Who) -> FeedbackBody:
    """Say what you think of an answer. Said again, it takes the place of what was said before."""
    return feedback_body(
        await parts.chats.give_feedback(
            str(chat_id), str(message_id), who.user_id, body.is_positive, body.feedback_text
        )
    )


async def answered(parts: Container, chat_id: str, ask: Ask) -> Exchange:
    """Start the run, or join it, and wait for its end.

    Raises:
        AskGraphError: it could not start, or failed before it had written anything; of the same kind.
        NotFound: the chat was deleted meanwhile.
    """
    parts.metrics.queries.inc()
    run = await parts.runner.start(ask)
    frame = orjson.loads((await parts.event_log.terminal(run.id)).data)
    if frame["type"] == "error" and (not frame.get("answer") or frame["code"] == StorageUnavailable.kind):
        raise RunFailed(frame)  # nothing was written, or it could not be kept
    assert run.user_message_id is not None  # noqa: S101  a run in a chat has both
    assert run.answer_id is not None  # noqa: S101
    return exchange_body(await parts.chats.exchange(chat_id, ask.owner, run.user_message_id, run.answer_id))
