"""The frames of a connection (those of a run are in `agents.events`), and the JSON Schema of all of them."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from agents import events
from infrastructure.errors import AskGraphError
from services.principals import Principal

PROTOCOL_VERSION = "1.0"
CAPABILITIES = ("streaming", "cancellation", "pause_resume", "replay")
HEARTBEAT = b'{"type":"heartbeat"}'


def connected(session_id: str, heartbeat_seconds: float, max_message_bytes: int) -> bytes:
    details = {
        "session_id": session_id,
        "protocol_version": PROTOCOL_VERSION,
        "capabilities": CAPABILITIES,
        "heartbeat_interval": int(heartbeat_seconds) if heartbeat_seconds.is_integer() else heartbeat_seconds,
        "max_message_bytes": max_message_bytes,
    }
    return _frame({"type": "status", "status": "connected", "details": details})


def status(word: Literal["paused", "ready"], run_id: str | None = None) -> bytes:
    return _frame({"type": "status", "status": word} | ({"run_id": run_id} if run_id else {}))


def authenticated(principal: Principal) -> bytes:
    """`expires_at` is in ISO 8601, or null where the credential has no end."""
    at = principal.expires_at
    ends = None if at is None else datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
    details = {"user_id": principal.user_id, "expires_at": ends}
    return _frame({"type": "status", "status": "authenticated", "details": details})


def pong() -> bytes:
    return _frame({"type": "pong"})


def echo(message: Any) -> bytes:
    return _frame({"type": "echo", "message": message})


def failure(error: AskGraphError) -> bytes:
    """An error about a frame that the client sent; it belongs to no run."""
    frame = {
        "type": "error",
        "error": error.message,
        "message": error.message,
        "code": error.kind,
        "retryable": error.retryable,
        "processing_stage": "error",
    }
    if error.retry_after is not None:
        frame["retry_after"] = round(error.retry_after, 1)
    return _frame(frame)


def _frame(fields: Mapping[str, Any]) -> bytes:
    return orjson.dumps({**fields, "timestamp": time.time()})


class _Frame(BaseModel):
    model_config = ConfigDict(extra="ignore")


class QuestionData(_Frame):
    """With `regenerates` the question is the one that is answered anew, and need not be sent."""

    question: str | None = None
    session_id: str | None = None
    request_id: str | None = None
    model_source: str | None = None  # the provider
    model_name: str | None = None
    edits: str | None = None  # the question's id that this one takes the place of
    regenerates: str | None = None  # the id of a question, or of its answer


class QuestionFrame(QuestionData):
    """Ask. `data` may hold the fields instead of the frame itself."""

    type: Literal["question"]
    data: QuestionData | None = None


class CancelFrame(_Frame):
    type: Literal["cancel"]
    run_id: str | None = None


class ApproveFrame(_Frame):
    """Answer a call that waits (`step` with `approval_required`). Without `run_id` it is of a run that is read here."""

    type: Literal["approve"]
    call_id: str
    approved: bool
    run_id: str | None = None


class PauseFrame(_Frame):
    type: Literal["pause"]


class ResumeFrame(_Frame):
    type: Literal["resume"]


class AttachFrame(_Frame):
    type: Literal["attach"]
    run_id: str
    after: int = Field(0, ge=0)


class AuthFrame(_Frame):
    type: Literal["auth"]
    token: str


class HeartbeatResponseFrame(_Frame):
    type: Literal["heartbeat_response"]


class PingFrame(_Frame):
    type: Literal["ping"]


ClientFrame = Annotated[
    QuestionFrame | CancelFrame | ApproveFrame | PauseFrame | ResumeFrame | AttachFrame | AuthFrame
    | HeartbeatResponseFrame | PingFrame,
    Field(discriminator="type"),
]  # fmt: skip


class ConnectionStatus(_Frame):
    type: Literal["status"]
    status: Literal["connected", "authenticated", "paused", "ready"]
    details: dict[str, Any] | None = None  # of `connected` and `authenticated`
    run_id: str | None = None
    timestamp: float


class ConnectionError_(_Frame):
    type: Literal["error"]
    error: str
    message: str
    code: str
    retryable: bool
    processing_stage: Literal["error"]
    retry_after: float | None = None
    timestamp: float


class HeartbeatFrame(_Frame):
    type: Literal["heartbeat"]


class PongFrame(_Frame):
    type: Literal["pong"]
    timestamp: float


class GapFrame(_Frame):
    type: Literal["gap"]
    run_id: str
    first: int = Field(alias="from")
    last: int = Field(alias="to")


class SnapshotFrame(_Frame):
    type: Literal["snapshot"]
    run_id: str
    answer: str
    seq: int


class EchoFrame(_Frame):
    """Of `/ws/test`."""

    type: Literal["echo"]
    message: Any
    timestamp: float


ConnectionFrame = (
    ConnectionStatus | ConnectionError_ | HeartbeatFrame | PongFrame | GapFrame | SnapshotFrame | EchoFrame
)
RUN_FIELDS = {"run_id": {"type": "string"}, "seq": {"type": "integer", "minimum": 1}, "timestamp": {"type": "number"}}


def frames_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of every frame. In `$defs`: `client` for those to the server, `run` and `connection` for
    those from it.
    """
    parts: dict[str, Any] = {
        "client": TypeAdapter(ClientFrame),
        "run": TypeAdapter(events.RunFrame),
        "connection": TypeAdapter(ConnectionFrame),
    }
    of_parts, schema = TypeAdapter.json_schemas(
        [(name, "serialization" if name != "client" else "validation", part) for name, part in parts.items()],
        ref_template="#/$defs/{model}",
        title="AskGraph frames",
        description="Frames of a run also carry run_id, seq (dense from 1) and timestamp (Unix seconds).",
    )
    definitions = schema["$defs"]
    for frame in get_args(events.RunFrame):
        definition = definitions[frame.__name__]
        definition["properties"] |= RUN_FIELDS
        definition["required"] = ["type", *definition["required"], *RUN_FIELDS]
    left_out = {"page", "section"}  # where there is none
    definitions["Citation"]["required"] = [n for n in definitions["Citation"]["required"] if n not in left_out]
    definitions |= {name: part for (name, _), part in of_parts.items()}
    refs = [{"$ref": f"#/$defs/{name}"} for name in parts]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "anyOf": refs}
