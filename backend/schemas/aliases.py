"""Bodies of the routes that older clients use."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Body
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
)

from backend.schemas.chats import Content, Metadata, Title, not_blank
from backend.schemas.text import CleanText
from services.chats import ChatView

EXAMPLE_ID = "0199f3a0-7c3e-7d63-9a53-0f2f0c8f5a11"
ModelName = Annotated[CleanText, Field(max_length=200)]
FileId = Annotated[CleanText, Field(max_length=64)]


class PromptRequest(BaseModel):
    """A prompt. An unknown `session_id` starts that session; `model_name` and `options` are given back."""

    prompt: Content = Field(description="1 to 32000 characters.")
    session_id: UUID | None = None
    model_name: ModelName | None = None
    options: Metadata = {}

    @property
    def question(self) -> str:
        return self.prompt

    @property
    def chat_id(self) -> UUID | None:
        return self.session_id

    @property
    def must_exist(self) -> bool:
        return False

    @property
    def source(self) -> str | None:
        return None

    @property
    def answer_temperature(self) -> float | None:
        return None

    @property
    def answer_tokens(self) -> int | None:
        return None

    @property
    def files(self) -> tuple[str, ...]:
        return ()

    @property
    def mode(self) -> str:
        return "auto"


class MessageRequest(BaseModel):
    """A message. An unknown `conversation_id` is not found."""

    message: Annotated[CleanText, Field(min_length=1, max_length=10_000), AfterValidator(not_blank)]
    conversation_id: UUID | None = None
    model_source: Literal["ollama", "openai", "aihub", "local"] | None = None
    model_name: ModelName | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1, le=8192)
    file_ids: list[FileId] | None = Field(None, max_length=100)
    rag_mode: Literal["auto", "hybrid", "full_file"] | None = None

    @property
    def question(self) -> str:
        return self.message

    @property
    def chat_id(self) -> UUID | None:
        return self.conversation_id

    @property
    def must_exist(self) -> bool:
        return self.conversation_id is not None

    @property
    def source(self) -> str | None:
        return self.model_source

    @property
    def answer_temperature(self) -> float | None:
        return self.temperature

    @property
    def answer_tokens(self) -> int | None:
        return self.max_tokens

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(self.file_ids or ())

    @property
    def mode(self) -> str:
        return self.rag_mode or "auto"


def shape_of(body: object) -> str | None:
    """Which client speaks; None where it cannot be told. A field that is null counts as not sent."""
    if not isinstance(body, Mapping):
        return None
    sent = [name for name in ("prompt", "message") if body.get(name) is not None]
    return sent[0] if len(sent) == 1 else None


ChatRequest = Annotated[
    Annotated[PromptRequest, Tag("prompt")] | Annotated[MessageRequest, Tag("message")],
    Discriminator(
        shape_of, custom_error_type="shape", custom_error_message="must have either a prompt or a message, and not both"
    ),
    Body(
        openapi_examples={
            "prompt": {"value": {"prompt": "What is a health factor?", "session_id": EXAMPLE_ID}},
            "message": {"value": {"message": "What is a health factor?", "rag_mode": "auto"}},
        }
    ),
]


class PromptResponse(BaseModel):
    """The answer to a prompt. `request` is the request as it was understood."""

    response_id: str
    request: PromptRequest
    response: str
    created_at: datetime
    completed_at: datetime
    elapsed_time_ms: float
    model_name: str
    finish_reason: str
    session_id: str


class Source(BaseModel):
    """What a marker in the answer stands for: the exact text of a document."""

    document: str
    document_id: str
    page: int | None = None
    section: str | None = None
    score: float
    quote: str

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialize(self).items() if value is not None}


class AnswerFacts(BaseModel):
    """What is told of an answer besides its text. `generation_time` is in seconds."""

    model_used: str
    tokens_used: int
    generation_time: float
    sources: list[Source]


class MessageResponse(AnswerFacts):
    """The answer to a message."""

    response: str
    conversation_id: str
    message_id: str


class SessionBody(BaseModel):
    session_id: str
    title: str | None
    created_at: datetime
    updated_at: datetime
    message_count: int


def session_body(view: ChatView) -> SessionBody:
    return SessionBody(
        session_id=view.id, title=view.title, created_at=view.created_at, updated_at=view.updated_at,
        message_count=view.message_count,
    )  # fmt: skip


class ConversationBody(BaseModel):
    """A conversation. `model_source` and `model_name` say what answers in it now."""

    id: str
    user_id: str | None
    title: str | None
    model_source: str
    model_name: str
    is_archived: bool
    message_count: int
    created_at: datetime
    updated_at: datetime


class ConversationPage(BaseModel):
    conversations: list[ConversationBody]
    total: int
    page: int
    per_page: int


class ConversationChange(BaseModel):
    """What is to change. A field that is not sent, or null, stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Health factors", "is_archived": False}]})

    title: Title | None = None
    is_archived: bool | None = None

    def given(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


class ConversationGone(BaseModel):
    status: Literal["deleted"] = "deleted"
    conversation_id: str


def conversation_body(view: ChatView, model_source: str, model_name: str) -> ConversationBody:
    return ConversationBody(
        id=view.id, user_id=view.user_id, title=view.title, model_source=model_source, model_name=model_name,
        is_archived=view.is_archived, message_count=view.message_count, created_at=view.created_at,
        updated_at=view.updated_at,
    )  # fmt: skip
