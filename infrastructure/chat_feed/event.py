"""What a chat feed carries."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class ChatEvent(NamedTuple):
    """Something that happened in a chat. `data` is JSON's own types and is not changed any more."""

    type: str
    chat_id: str
    data: Mapping[str, Any]
    at: float  # Unix seconds
