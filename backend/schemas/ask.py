"""Bodies of the ask routes."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

EXAMPLE_QUESTION = "What does a health factor below one mean in DeFi lending?"
EXAMPLE_ANSWER = "A health factor below one means that the position can be liquidated. [1]"


class AskRequest(BaseModel):
    """One question. Its length is checked against QUESTION_MAX_CHARS."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"question": EXAMPLE_QUESTION}]})

    question: str = Field(description="3 to QUESTION_MAX_CHARS (default 2000) characters.")
    session_id: UUID | None = Field(None, description="The conversation that the question belongs to.")


class CitationBody(BaseModel):
    """Marker `[id]` in the answer, and the exact text `[start, end)` of the document that it stands for."""

    id: int
    document: str
    document_id: str
    chunk_id: str
    page: int | None = None
    section: str | None = None
    start: int
    end: int
    quote: str
    score: float

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = serialize(self)
        return {name: value for name, value in fields.items() if value is not None}


class AskResponse(BaseModel):
    """The whole answer. `processing_stage` is `no_relevant_answer` where nothing in the knowledge supports one."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "answer": EXAMPLE_ANSWER,
                    "confidence": 0.93,
                    "processing_stage": "response_complete",
                    "error": None,
                    "session_id": None,
                    "run_id": "0199f3a0-7c3e-7d63-9a53-0f2f0c8f5a11",
                    "citations": [
                        {
                            "id": 1,
                            "document": "defi/lending.md",
                            "document_id": "0199f3a0-0000-7000-8000-000000000001",
                            "chunk_id": "0199f3a0-0000-7000-8000-000000000002",
                            "section": "Health factor",
                            "start": 2051,
                            "end": 2124,
                            "quote": "A health factor below one means that the position can be liquidated.",
                            "score": 0.97,
                        }
                    ],
                    "model": "extractive",
                    "grounded": True,
                }
            ]
        }
    )

    answer: str
    confidence: float
    processing_stage: str
    error: str | None = None
    session_id: str | None = None
    run_id: str
    citations: list[CitationBody]
    model: str
    grounded: bool
    cached: bool = Field(
        False, exclude_if=lambda cached: not cached, description="Only where it is true: the answer was given before."
    )


class ErrorBody(BaseModel):
    """What every HTTP error looks like."""

    detail: str
    type: str
    code: int
    request_id: str
    errors: list[dict[str, Any]] | None = Field(None, description="With validation errors: where and what.")


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: these statuses come in the one error shape."""
    return {status: {"model": ErrorBody} for status in statuses}
