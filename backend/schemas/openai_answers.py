"""Answers of the OpenAI-compatible API, as the API's description shows them. They are written by `openai_chunks`."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.schemas.ask import EXAMPLE_ANSWER, CitationBody
from backend.schemas.openai import ToolCallBody

_CITATION = {
    "id": 1, "document": "defi/lending.md", "document_id": "0199f3a0-0000-7000-8000-000000000001",
    "chunk_id": "0199f3a0-0000-7000-8000-000000000002", "section": "Health factor", "start": 2051, "end": 2124,
    "quote": "A health factor below one means that the position can be liquidated.", "score": 0.97,
}  # fmt: skip
_COMPLETION = {
    "id": "chatcmpl-0199f3a0-7c3e-7d63-9a53-0f2f0c8f5a11", "object": "chat.completion", "created": 1767605400,
    "model": "askgraph", "system_fingerprint": None,
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant", "content": EXAMPLE_ANSWER, "refusal": None,
                "annotations": [{"type": "file_citation", "file_citation": _CITATION}],
            },
            "logprobs": None, "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 812, "completion_tokens": 21, "total_tokens": 833},
}  # fmt: skip
_MODEL = {"id": "askgraph", "object": "model", "created": 0, "owned_by": "askgraph"}


def _shown(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


class FileCitation(BaseModel):
    """A marker `[id]` of the answer, and the text that it stands for."""

    type: Literal["file_citation"]
    file_citation: CitationBody


class AnswerMessage(BaseModel):
    """`annotations` is the agent's, `tool_calls` another model's."""

    role: Literal["assistant"]
    content: str | None
    refusal: None = None
    annotations: list[FileCitation] | None = None
    tool_calls: list[ToolCallBody] | None = None


class Choice(BaseModel):
    index: Literal[0]
    message: AnswerMessage
    logprobs: None = None
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]


class UsageBody(BaseModel):
    """Of all calls that the answer took; 0 where no model was asked."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CompletionBody(BaseModel):
    """An answer. `id` is `chatcmpl-` and the run's id."""

    model_config = _shown(_COMPLETION)

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: None = None
    choices: list[Choice]
    usage: UsageBody


class OpenAIModel(BaseModel):
    """A model that may be named. When it was made is not known: `created` is 0."""

    model_config = _shown(_MODEL)

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str


class OpenAIModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[OpenAIModel]


class EmbeddingBody(BaseModel):
    """`embedding` is a list of numbers, or with `base64` little-endian float32."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """Estimated: four characters a token."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingListBody(BaseModel):
    """One vector of length 1 for each text, in order."""

    model_config = _shown(
        {
            "object": "list", "model": "wordllama-l2-supercat-256", "usage": {"prompt_tokens": 7, "total_tokens": 7},
            "data": [{"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}],
        }
    )  # fmt: skip

    object: Literal["list"]
    data: list[EmbeddingBody]
    model: str
    usage: EmbeddingUsage


class OpenAIErrorFields(BaseModel):
    message: str
    type: str
    param: str | None = Field(description="Which part of the request it is about.")
    code: str | None


class OpenAIErrorBody(BaseModel):
    """What every error below /v1 looks like."""

    model_config = _shown(
        {
            "error": {
                "message": "n: Input should be less than or equal to 1", "type": "invalid_request_error", "param": "n",
                "code": "invalid_value",
            }
        }
    )  # fmt: skip

    error: OpenAIErrorFields
