"""The tables. All are imported here, so that their metadata is whole."""

from infrastructure.database.models.accounts import ApiKey, RefreshToken, User
from infrastructure.database.models.agents import Agent, UsageDay
from infrastructure.database.models.base import NAMING_CONVENTION, Base, UtcDateTime, new_id
from infrastructure.database.models.chats import Chat, ChatMessage, Feedback, Run
from infrastructure.database.models.checkpoints import RunCheckpoint
from infrastructure.database.models.files import ChatFile, File
from infrastructure.database.models.knowledge import (
    SHARED,
    Chunk,
    ChunkEmbedding,
    Document,
    EmbeddingModel,
    PartitionState,
)
from infrastructure.database.models.workers import Worker

__all__ = [
    "NAMING_CONVENTION",
    "SHARED",
    "Agent",
    "ApiKey",
    "Base",
    "Chat",
    "ChatFile",
    "ChatMessage",
    "Chunk",
    "ChunkEmbedding",
    "Document",
    "EmbeddingModel",
    "Feedback",
    "File",
    "PartitionState",
    "RefreshToken",
    "Run",
    "RunCheckpoint",
    "UsageDay",
    "User",
    "UtcDateTime",
    "Worker",
    "new_id",
]
