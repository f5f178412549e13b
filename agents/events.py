"""The frames of a run: what every transport carries, encoded once.

Each frame has `run_id` and `seq` (dense from 1 within its run) and `timestamp` (Unix seconds). Frames that belong to a
connection and not to a run are made where the connection lives; they carry no `seq`.
"""

from dataclasses import dataclass, fields
from typing import Any, Literal

import orjson

from infrastructure.errors import AskGraphError
from infrastructure.providers.types import Usage
from services.knowledge.grounding import Citation

RunStatus = Literal["streaming", "queued", "cancelled", "restarted"]
StepState = Literal["started", "finished", "failed", "approval_required"]
RESPONSE_COMPLETE = "response_complete"
NO_RELEVANT_ANSWER = "no_relevant_answer"


@dataclass(frozen=True, slots=True)
class Source:
    document: str
    score: float


@dataclass(frozen=True, slots=True)
class Status:
    """Where the run stands. `cancelled` ends it; `restarted` says: drop what you have of this run."""

    status: RunStatus
    session_id: str | None = None
    detail: str | None = None
    type: Literal["status"] = "status"


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is known before the first word. `total_words` is null until the answer is complete."""

    session_id: str | None
    confidence: float
    model: str
    sources: tuple[Source, ...]
    processing_stage: str
    total_words: int | None = None
    type: Literal["metadata"] = "metadata"


@dataclass(frozen=True, slots=True)
class Step:
    """A piece of work inside the run: a node, or a tool by its name."""

    name: str
    state: StepState
    detail: str | None = None
    call_id: str | None = None
    type: Literal["step"] = "step"


@dataclass(frozen=True, slots=True)
class Word:
    """One or more words with the white space that follows them; all `content` joined is the answer, exactly.

    `index` counts words from 0 and is the number of the first word in `content`.
    """

    content: str
    index: int
    confidence: float
    processing_stage: Literal["streaming"] = "streaming"
    type: Literal["word"] = "word"


@dataclass(frozen=True, slots=True)
class Complete:
    answer: str
    final_confidence: float
    confidence: float
    total_words: int
    citations: tuple[Citation, ...]
    grounded: bool
    usage: Usage
    finish_reason: str
    model: str
    session_id: str | None = None
    processing_stage: str = RESPONSE_COMPLETE
    cached: bool = False  # said only where it is true: the answer was given before
    type: Literal["complete"] = "complete"


@dataclass(frozen=True, slots=True)
class Failure:
    """The `error` frame. `error` and `message` are the same text; `answer` is the partial text that was kept."""

    error: str
    message: str
    code: str
    retryable: bool
    answer: str = ""
    retry_after: float | None = None
    processing_stage: Literal["error"] = "error"
    type: Literal["error"] = "error"

    @classmethod
    def of(cls, error: AskGraphError, answer: str = "") -> "Failure":
        return cls(error.message, error.message, error.kind, error.retryable, answer, error.retry_after)


RunFrame = Status | Metadata | Step | Word | Complete | Failure
TERMINAL_TYPES = (Complete, Failure)


def is_terminal(frame: RunFrame) -> bool:
    """Every run ends with exactly one of these."""
    return isinstance(frame, TERMINAL_TYPES) or (isinstance(frame, Status) and frame.status == "cancelled")


def encode(frame: RunFrame, run_id: str, seq: int, timestamp: float) -> bytes:
    """The frame's JSON as every transport sends it. Optional fields that have nothing to say are left out."""
    data = orjson.dumps(_body(frame))
    return b'%s,"run_id":"%s","seq":%d,"timestamp":%.6f}' % (data[:-1], run_id.encode(), seq, timestamp)


class WordEncoder:
    """Encodes `Word` frames with all that stays the same in one run prepared: the hot path sends little else."""

    __slots__ = ("_template",)

    def __init__(self, run_id: str, confidence: float) -> None:
        tail = orjson.dumps({"confidence": confidence, "processing_stage": "streaming", "run_id": run_id})[1:-1]
        self._template = b'{"type":"word","content":%%b,"index":%%d,%s,"seq":%%d,"timestamp":%%.6f}' % tail.replace(
            b"%", b"%%"
        )

    def encode(self, content: str, index: int, seq: int, timestamp: float) -> bytes:
        return self._template % (orjson.dumps(content), index, seq, timestamp)


_OPTIONAL = {"page", "section", "detail", "call_id", "retry_after"}


def _body(frame: RunFrame) -> dict[str, Any]:
    body: dict[str, Any] = {"type": frame.type}
    for name in frame.__slots__:
        value = getattr(frame, name)
        if value is not None or name not in _OPTIONAL:
            body[name] = value
    if isinstance(frame, Complete):
        body["citations"] = [citation_fields(citation) for citation in frame.citations]
        if not frame.cached:
            del body["cached"]
    elif isinstance(frame, Failure) and not frame.answer:
        del body["answer"]
    elif isinstance(frame, Status) and frame.session_id is None:
        del body["session_id"]
    return body


def citation_fields(citation: Citation) -> dict[str, Any]:
    """A citation as the contract writes it: `page` and `section` only where there is one."""
    return {field.name: value for field in fields(citation) if (value := getattr(citation, field.name)) is not None}
