"""The tables. All are imported here, so that their metadata is whole."""

from infrastructure.database.models.accounts import ApiKey, RefreshToken, User
from infrastructure.database.models.base import NAMING_CONVENTION, Base, UtcDateTime, new_id
from infrastructure.database.models.chats import Chat, ChatMessage, Feedback, Run
from infrastructure.database.models.knowledge import Chunk, Document, IndexState

__all__ = [
    "NAMING_CONVENTION",
    "ApiKey",
    "Base",
    "Chat",
    "ChatMessage",
    "Chunk",
    "Document",
    "Feedback",
    "IndexState",
    "RefreshToken",
    "Run",
    "User",
    "UtcDateTime",
    "new_id",
]
