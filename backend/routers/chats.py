"""Chats: begin, list, read, change, delete and export them."""

import asyncio
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from backend.dependencies import Parts, Who
from backend.routers.strict_json import StrictJsonRoute
from backend.schemas.ask import error_responses
from backend.schemas.chats import (
    MAX_QUERY_CHARS,
    ChatBody,
    ChatChange,
    ChatExport,
    ChatPage,
    NewChat,
    chat_body,
    chat_export,
    chat_page,
)
from backend.schemas.text import CleanText
from services.chat_export import to_markdown

router = APIRouter(
    prefix="/api/v1", tags=["chats"], route_class=StrictJsonRoute, responses=error_responses(401, 422, 429)
)
EXPORTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The chat as an attachment.",
        "model": ChatExport,
        "content": {"text/markdown": {"schema": {"type": "string"}}},
    }
}


@router.post("/chats", status_code=201, responses=error_responses(404))
async def create_chat(body: NewChat, parts: Parts, who: Who) -> ChatBody:
    """Begin a chat. An anonymous caller's is reached by its id alone: keep it."""
    agent_id = str(body.agent_id) if body.agent_id else None
    return chat_body(await parts.chats.create(who.user_id, body.title, body.metadata, agent_id))


@router.get("/chats")
async def list_chats(
    parts: Parts,
    who: Who,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    page_size: Annotated[int, Query(ge=1, le=100)] = 20,
    q: Annotated[
        CleanText | None, Query(max_length=MAX_QUERY_CHARS, description="Occurs in the title or in a message.")
    ] = None,
    archived: Annotated[bool | None, Query(description="Only archived chats, or only others.")] = None,
) -> ChatPage:
    """Your chats, the last changed first. For an anonymous caller the list is empty."""
    return chat_page(await parts.chats.page(who.user_id, page, page_size, q, archived))


@router.get("/chats/{chat_id}", responses=error_responses(404))
async def get_chat(chat_id: UUID, parts: Parts, who: Who) -> ChatBody:
    """One chat."""
    return chat_body(await parts.chats.get(str(chat_id), who.user_id))


@router.patch("/chats/{chat_id}", responses=error_responses(404))
async def change_chat(chat_id: UUID, body: ChatChange, parts: Parts, who: Who) -> ChatBody:
    """Change a chat's title, metadata, or whether it is archived. What is not sent stays."""
    return chat_body(await parts.chats.update(str(chat_id), who.user_id, **body.given()))


@router.delete("/chats/{chat_id}", status_code=204, responses=error_responses(404))
async def delete_chat(chat_id: UUID, parts: Parts, who: Who) -> None:
    """Delete a chat with all its messages. What is being answered in it is stopped."""
    await parts.chats.delete(str(chat_id), who.user_id)
    parts.runner.abandon(str(chat_id))


@router.get("/chats/{chat_id}/export", response_class=Response, responses=EXPORTED | error_responses(404))
async def export_chat(
    chat_id: UUID, parts: Parts, who: Who, format: Annotated[Literal["md", "json"], Query()] = "md"
) -> Any:
    """Download a chat: as Markdown to read, or as JSON with everything."""
    chat = await parts.chats.get(str(chat_id), who.user_id)
    messages = await parts.chats.messages(chat.id, who.user_id)
    if format == "json":
        content, media_type = chat_export(chat, messages).model_dump_json(), "application/json"
    else:
        content, media_type = await asyncio.to_thread(to_markdown, chat, messages), "text/markdown"
    headers = {"Content-Disposition": f'attachment; filename="chat-{chat.id}.{format}"'}
    return Response(content, headers=headers, media_type=media_type)
