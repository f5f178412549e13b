"""Bodies of the agents' routes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from backend.schemas.chats import not_blank
from backend.schemas.text import CleanText
from services.agents import MAX_FILES, AgentRow

MAX_NAME_CHARS = 100
MAX_DESCRIPTION_CHARS = 1000
MAX_PROMPT_CHARS = 8000
MAX_TOOLS = 20
MAX_STARTERS = 20
MAX_STARTER_CHARS = 2000
MAX_MODEL_CHARS = 300
Answers = Literal["open", "knowledge_only"]
_ID = "0199f3a0-7c3e-7d63-9a53-0f2f0c8f5a11"
_TIME = "2026-01-05T09:30:00Z"
_NEW: dict[str, Any] = {
    "name": "Lending desk",
    "prompt": "You help the lending desk. Name the figures that an answer rests on.",
    "model": "openai/gpt-4o-mini",
    "tools": ["search_knowledge_base"],
    "knowledge_scope": {"files": [_ID], "shared": True},
    "answers": "knowledge_only",
    "starter_messages": [{"name": "Health factor", "message": "What is a health factor?"}],
    "is_visible": True,
}
_AGENT: dict[str, Any] = {
    "id": _ID, "description": None, "shared": False, **_NEW, "created_at": _TIME, "updated_at": _TIME,
}  # fmt: skip


def provider_and_model(value: str) -> str:
    """
    Raises:
        PydanticCustomError: it is not `provider/model`.
    """
    provider, _, model = value.partition("/")
    if not provider or not model or not value.isprintable():
        raise PydanticCustomError("model", "must be provider/model")
    return value


def each_once(values: list[Any]) -> list[Any]:
    """The values in their order, each once."""
    return list(dict.fromkeys(values))


Name = Annotated[CleanText, Field(min_length=1, max_length=MAX_NAME_CHARS), AfterValidator(not_blank)]
Description = Annotated[CleanText, Field(max_length=MAX_DESCRIPTION_CHARS)]
Prompt = Annotated[CleanText, Field(max_length=MAX_PROMPT_CHARS)]
Model = Annotated[CleanText, Field(max_length=MAX_MODEL_CHARS), AfterValidator(provider_and_model)]
ToolName = Annotated[CleanText, Field(min_length=1, max_length=200)]
Tools = Annotated[list[ToolName], Field(max_length=MAX_TOOLS), AfterValidator(each_once)]


class KnowledgeScope(BaseModel):
    """Where an agent looks: these files, and the shared knowledge or not."""

    files: Annotated[list[UUID], Field(max_length=MAX_FILES), AfterValidator(each_once)] = []
    shared: bool = True


class StarterMessage(BaseModel):
    """A message to begin with, by a name to choose it by."""

    name: Name
    message: Annotated[CleanText, Field(min_length=1, max_length=MAX_STARTER_CHARS), AfterValidator(not_blank)]


Starters = Annotated[list[StarterMessage], Field(max_length=MAX_STARTERS)]


class AgentFields(BaseModel):
    """What an agent has besides its name."""

    description: Description | None = None
    prompt: Prompt = ""
    model: Model | None = None
    tools: Tools | None = None
    knowledge_scope: KnowledgeScope | None = None
    answers: Answers = "open"
    starter_messages: Starters = []
    is_visible: bool = True


class NewAgent(AgentFields):
    """An agent to make. Without `tools` it has all that there are, with `[]` none; without `knowledge_scope` it looks
    wherever the one who asks may. A `shared` one is everybody's to use, and for admins to make."""

    model_config = ConfigDict(json_schema_extra={"examples": [_NEW]}, protected_namespaces=())

    name: Name
    shared: bool = False

    def values(self) -> dict[str, Any]:
        """Its columns."""
        return self.model_dump(mode="json", exclude={"shared"})


class AgentChange(AgentFields):
    """What is to change. A field that is not sent stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": "Answer in two sentences."}]})

    name: Name = ""

    def given(self) -> dict[str, Any]:
        """The columns that were sent."""
        return self.model_dump(mode="json", include=self.model_fields_set)


class AgentBody(BaseModel):
    """An agent. `shared`: everybody may use it, and admins change it. `tools` names those that it is offered."""

    model_config = ConfigDict(json_schema_extra={"examples": [_AGENT]})

    id: str
    name: str
    description: str | None
    prompt: str
    model: str | None
    tools: list[str]
    knowledge_scope: dict[str, Any] | None = Field(description="`files` (ids) and `shared`; null: wherever you may.")
    answers: Answers
    starter_messages: list[dict[str, str]]
    is_visible: bool = Field(description="Whether a shared one is listed for everybody.")
    shared: bool
    created_at: datetime
    updated_at: datetime


class AgentList(BaseModel):
    items: list[AgentBody]
    total: int


def agent_body(row: AgentRow) -> AgentBody:
    fields = {name: getattr(row, name) for name in AgentBody.model_fields if name != "shared"}
    return AgentBody(**fields, shared=row.owner_id is None)


def agent_list(rows: Sequence[AgentRow]) -> AgentList:
    return AgentList(items=[agent_body(row) for row in rows], total=len(rows))
