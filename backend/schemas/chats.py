"""Bodies of the chat and message routes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from backend.schemas.ask import CitationBody
from backend.schemas.text import CleanText, valid_text
from services.chats import ChatView, FeedbackView, MessageView, Page

MAX_CONTENT_CHARS = 32_000
MAX_METADATA_BYTES = 16 * 1024
MAX_METADATA_DEPTH = 32
MAX_FEEDBACK_CHARS = 4000
MAX_QUERY_CHARS = 200
_ID = "0199f3a0-7c3e-7d63-9a53-0f2f0c8f5a11"
_TIME = "2026-01-05T09:30:00Z"


def not_blank(value: str) -> str:
    """
    Raises:
        PydanticCustomError: it is white space only.
    """
    if not value.strip():
        raise PydanticCustomError("blank", "must be more than white space")
    return value


def small_object(value: dict[str, Any]) -> dict[str, Any]:
    """A JSON object that may be kept with a chat.

    Raises:
        PydanticCustomError: too deep, too large, or it has texts that cannot be kept.
    """
    _check_within(value)
    if len(orjson.dumps(value)) > MAX_METADATA_BYTES:
        raise PydanticCustomError("too_large", "must be at most 16 KiB of JSON")
    return value


def _check_within(value: dict[str, Any]) -> None:
    """Level by level, not by recursion: how deep it is, is what is asked."""
    level: list[Any] = [value]
    for _ in range(MAX_METADATA_DEPTH + 1):
        for text in (part for part in level if isinstance(part, str)):
            valid_text(text)
        inside = [part for part in level if isinstance(part, dict | list)]
        if not inside:
            return
        level = [inner for part in inside for inner in _parts(part)]
    raise PydanticCustomError("too_deep", "must be nested at most 32 deep")


def _parts(value: dict[str, Any] | list[Any]) -> list[Any]:
    return [*value.keys(), *value.values()] if isinstance(value, dict) else value


Title = Annotated[CleanText, Field(max_length=255)]
Metadata = Annotated[dict[str, Any], AfterValidator(small_object)]
Content = Annotated[CleanText, Field(min_length=1, max_length=MAX_CONTENT_CHARS), AfterValidator(not_blank)]


class NewChat(BaseModel):
    """A chat to begin. Everything may be left out."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Lending", "metadata": {"topic": "defi"}}]})

    title: Title | None = None
    metadata: Metadata | None = None
    agent_id: UUID | None = None


class ChatChange(BaseModel):
    """What is to change. A field that is not sent stays; `title` null takes the title away, `metadata` null empties."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Health factors", "is_archived": False}]})

    title: Title | None = None
    metadata: Metadata | None = None
    is_archived: bool = False

    def given(self) -> dict[str, Any]:
        """The fields that were sent."""
        fields = {name: getattr(self, name) for name in self.model_fields_set}
        return fields | ({"metadata": self.metadata or {}} if "metadata" in fields else {})


class ChatBody(BaseModel):
    """A chat. `message_count` counts the messages of the conversation as it stands."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _ID, "title": "Lending", "metadata": {"topic": "defi"}, "created_at": _TIME,
                    "updated_at": _TIME, "agent_id": None, "is_archived": False, "message_count": 2,
                }
            ]
        }
    )  # fmt: skip

    id: str
    title: str | None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    agent_id: str | None
    is_archived: bool
    message_count: int


class ChatPage(BaseModel):
    items: list[ChatBody]
    total: int
    page: int
    page_size: int
    pages: int


class NewMessage(BaseModel):
    """A question, of 1 to 32000 characters, kept as it is sent."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"content": "What is a health factor?"}]})

    content: Content


class MessageBody(BaseModel):
    """A message. `citations`, `confidence` and `model` are an answer's; `superseded_at` is set on an older branch's."""

    id: str
    chat_id: str
    role: str
    content: str
    tool_calls: list[Any] | None
    tool_call_id: str | None
    created_at: datetime
    citations: list[CitationBody]
    confidence: float | None
    model: str | None
    status: Literal["complete", "incomplete", "error"]
    parent_id: str | None = Field(description="The message before it; what was edited or regenerated branches off.")
    superseded_at: datetime | None


class MessageList(BaseModel):
    items: list[MessageBody]
    total: int


class Exchange(BaseModel):
    """A question and the answer to it."""

    user_message: MessageBody
    assistant_message: MessageBody


class NewFeedback(BaseModel):
    """What you think of an answer."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"is_positive": False, "feedback_text": "The source is about staking."}]}
    )

    is_positive: bool
    feedback_text: Annotated[CleanText, Field(max_length=MAX_FEEDBACK_CHARS)] | None = None


class FeedbackBody(BaseModel):
    message_id: str
    is_positive: bool
    feedback_text: str | None
    created_at: datetime


class ChatExport(ChatBody):
    """A chat with all messages of the conversation as it stands."""

    messages: list[MessageBody]


def chat_body(view: ChatView) -> ChatBody:
    return ChatBody(**_fields(view, ChatBody))


def chat_page(page: Page[ChatView]) -> ChatPage:
    items = [chat_body(view) for view in page.items]
    return ChatPage(items=items, total=page.total, page=page.page, page_size=page.page_size, pages=page.pages)


def message_body(view: MessageView) -> MessageBody:
    return MessageBody(**_fields(view, MessageBody))


def message_list(views: Sequence[MessageView]) -> MessageList:
    return MessageList(items=[message_body(view) for view in views], total=len(views))


def exchange_body(exchange: tuple[MessageView, MessageView]) -> Exchange:
    question, answer = exchange
    return Exchange(user_message=message_body(question), assistant_message=message_body(answer))


def feedback_body(view: FeedbackView) -> FeedbackBody:
    return FeedbackBody(**_fields(view, FeedbackBody))


def chat_export(chat: ChatView, messages: Sequence[MessageView]) -> ChatExport:
    return ChatExport(**_fields(chat, ChatBody), messages=[message_body(view) for view in messages])


def _fields(view: ChatView | MessageView | FeedbackView, body: type[BaseModel]) -> dict[str, Any]:
    """What of a view clients see."""
    return {name: getattr(view, name) for name in body.model_fields}
