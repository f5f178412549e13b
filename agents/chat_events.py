"""What is told of messages to whoever follows their chat, in the shape of the contract."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any


def message_fields(
    chat_id: str, message_id: str, role: str, content: str, at: datetime, status: str = "complete",
    run: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """A message as the chats' routes show it. `run` holds what is known of the run that wrote it."""
    facts = run or {}
    citations: Sequence[Any] = facts.get("citations") or ()
    return {
        "id": message_id,
        "chat_id": chat_id,
        "role": role,
        "content": content,
        "tool_calls": None,
        "tool_call_id": None,
        "created_at": iso(at),
        "citations": list(citations),
        "confidence": facts.get("confidence"),
        "model": facts.get("model"),
        "status": status,
    }


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC, ending in Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
