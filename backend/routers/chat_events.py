"""What happens in a chat, live."""

import time
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from backend.chat_events import ChatEventStream
from backend.dependencies import Parts, Who
from backend.schemas.ask import error_responses

router = APIRouter(prefix="/api/v1", tags=["chats"], responses=error_responses(401, 404, 422, 429, 503))
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: `event: <type>` and `data: {event_type, chat_id, data, timestamp}`. The "
        "types: `message.created`, `agent.processing`, `message.delta`, `message.completed`, `chat.updated`, "
        "`chat.deleted` (the last one then), and `ping` after 30 s of silence.",
        "content": {
            "text/event-stream": {
                "example": 'event: message.delta\ndata: {"event_type":"message.delta","chat_id":"0199…","data":{'
                '"run_id":"0199…","message_id":"0199…","content":"A "},"timestamp":"2026-01-05T09:30:00.25Z"}\n\n'
            }
        },
    }
}


@router.get("/chats/{chat_id}/events", response_class=Response, responses=EVENTS)
async def chat_events(chat_id: UUID, parts: Parts, who: Who) -> Any:
    """Follow a chat: what happens in it from now on, with the answers as they are written.

    Nothing is repeated: after a break read the chat's messages, then follow it again. The stream ends when what you
    signed in with expires.
    """
    chat = await parts.chats.get(str(chat_id), who.user_id)
    return ChatEventStream(
        parts.feed, parts.event_log, chat.id, parts.active_run, parts.event_log.find,
        send_timeout=parts.settings.ws_send_timeout_seconds, on_slow=parts.metrics.dropped.inc,
        seconds=None if who.expires_at is None else max(0.0, who.expires_at - time.time()),
    )  # fmt: skip
