"""Chats under the name of conversations, for an older client."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from backend.container import Container
from backend.dependencies import Parts, Who
from backend.routers.chats import delete_chat
from backend.routers.strict_json import StrictJsonRoute
from backend.schemas.aliases import (
    ConversationBody,
    ConversationChange,
    ConversationGone,
    ConversationPage,
    conversation_body,
)
from backend.schemas.ask import error_responses
from backend.schemas.chats import MessageList, message_list
from services.chats import ChatView

router = APIRouter(
    prefix="/api/v1", tags=["older clients"], route_class=StrictJsonRoute, responses=error_responses(401, 422, 429)
)
MISSING = error_responses(404)


@router.get("/conversations")
@router.get("/conversations/", include_in_schema=False)
async def list_conversations(
    parts: Parts,
    who: Who,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    per_page: Annotated[int, Query(ge=1, le=100)] = 20,
) -> ConversationPage:
    """Your conversations, the last used first. For an anonymous caller the list is empty."""
    found = await parts.chats.page(who.user_id, page, per_page)
    conversations = [_body(parts, chat) for chat in found.items]
    return ConversationPage(conversations=conversations, total=found.total, page=page, per_page=per_page)


@router.get("/conversations/{conversation_id}", responses=MISSING)
async def get_conversation(conversation_id: UUID, parts: Parts, who: Who) -> ConversationBody:
    """One conversation."""
    return _body(parts, await parts.chats.get(str(conversation_id), who.user_id))


@router.get("/conversations/{conversation_id}/messages", responses=MISSING)
async def list_messages(conversation_id: UUID, parts: Parts, who: Who) -> MessageList:
    """The conversation as it stands, in order."""
    return message_list(await parts.chats.messages(str(conversation_id), who.user_id))


@router.patch("/conversations/{conversation_id}", responses=MISSING)
async def change_conversation(
    conversation_id: UUID, body: ConversationChange, parts: Parts, who: Who
) -> ConversationBody:
    """Change a conversation's title, or whether it is archived."""
    return _body(parts, await parts.chats.update(str(conversation_id), who.user_id, **body.given()))


@router.delete("/conversations/{conversation_id}", responses=MISSING)
async def delete_conversation(conversation_id: UUID, parts: Parts, who: Who) -> ConversationGone:
    """Delete a conversation with all its messages."""
    await delete_chat(conversation_id, parts, who)
    return ConversationGone(conversation_id=str(conversation_id))


def _body(parts: Container, chat: ChatView) -> ConversationBody:
    return conversation_body(chat, parts.model.name, parts.model.model)
