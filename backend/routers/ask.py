"""One question, one answer: whole, or as a stream of frames."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from agents.questions import clean_question, clean_request_id
from agents.runner import Ask, RunHandle
from backend.container import Container
from backend.dependencies import CallerAddress, IdempotencyKey, Parts, Who
from backend.routers.strict_json import StrictJsonRoute
from backend.schemas.ask import AskRequest, AskResponse, error_responses
from backend.streaming import RunStream
from infrastructure.errors import AskGraphError, InvalidInput
from services.principals import Principal

router = APIRouter(tags=["ask"], route_class=StrictJsonRoute, responses=error_responses(409, 422, 429, 502, 503))
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: `id: <run_id>:<seq>` and `data: <frame>`; the frames are in /ws/schema.",
        "content": {"text/event-stream": {"example": 'id: 0199…:4\ndata: {"type":"word","content":"A health "}\n\n'}},
    }
}


@router.post("/ask")
async def ask(
    body: AskRequest, parts: Parts, caller: CallerAddress, who: Who, key: IdempotencyKey = None
) -> AskResponse:
    """Ask, and get the whole answer. Nothing is remembered unless a `session_id` is sent."""
    return await answer(parts, await start(parts, body, caller, who, key, keep=False))


@router.post("/v2/ask")
async def ask_in_session(
    body: AskRequest, parts: Parts, caller: CallerAddress, who: Who, key: IdempotencyKey = None
) -> AskResponse:
    """Ask within a session, which remembers the conversation; one is made if none is sent."""
    return await answer(parts, await start(parts, body, caller, who, key, keep=True))


@router.post("/ask-stream", response_class=Response, responses=STREAM)
async def ask_stream(
    body: AskRequest, parts: Parts, caller: CallerAddress, who: Who, key: IdempotencyKey = None
) -> Any:
    """Ask, and read the answer as it is written."""
    return stream(parts, await start(parts, body, caller, who, key, keep=False))


@router.post("/v2/ask-stream", response_class=Response, responses=STREAM)
async def ask_stream_in_session(
    body: AskRequest, parts: Parts, caller: CallerAddress, who: Who, key: IdempotencyKey = None
) -> Any:
    """Ask within a session, and read the answer as it is written."""
    return stream(parts, await start(parts, body, caller, who, key, keep=True))


@router.get("/runs/{run_id}/events", response_class=Response, responses=STREAM | error_responses(404))
async def run_events(
    run_id: str,
    parts: Parts,
    who: Who,
    after: Annotated[int | None, Query(ge=0, le=2**53, description="The last `seq` that you have.")] = None,
    last_event_id: Annotated[str | None, Header(description="`<run_id>:<seq>`, as browsers send it.")] = None,
) -> Any:
    """Re-join a run: exactly the frames that you do not have, then live ones."""
    await parts.runner.require(run_id, who.user_id)
    parts.metrics.replays.inc()
    return stream(parts, RunHandle(run_id, None), after if after is not None else seq_of(last_event_id, run_id))


@router.post("/runs/{run_id}/cancel", status_code=202, responses=error_responses(404))
async def cancel_run(run_id: str, parts: Parts, who: Who) -> dict[str, str]:
    """Stop a run. Answers when the model's connection is closed and the run has ended, with how it ended.

    `status` is `cancelled`; or `complete` or `error` where the run had ended before.
    """
    await parts.runner.require(run_id, who.user_id)
    await parts.runner.cancel(run_id)
    last = orjson.loads((await parts.event_log.terminal(run_id)).data)
    return {"run_id": run_id, "status": last["status"] if last["type"] == "status" else last["type"]}


async def start(
    parts: Container, body: AskRequest, caller: str, who: Principal, key: str | None, *, keep: bool
) -> RunHandle:
    """Start the run that a request asks for, or join it."""
    question = clean_question(body.question, parts.settings.question_max_chars)
    session_id = str(body.session_id) if body.session_id else None
    request_id = clean_request_id(key)
    parts.metrics.queries.inc()
    return await parts.runner.start(Ask(question, caller, session_id, keep, request_id, who.user_id))


async def answer(parts: Container, run: RunHandle) -> AskResponse:
    """Wait for the run's last frame.

    Raises:
        AskGraphError: the run ended with an error; of the same kind.
    """
    entry = await parts.event_log.terminal(run.id)
    frame = orjson.loads(entry.data)
    if frame["type"] == "error":
        raise RunFailed(frame)
    if frame["type"] == "status":
        return AskResponse(
            answer=parts.event_log.answer(run.id), confidence=0.0, processing_stage="cancelled", error=None,
            session_id=run.session_id, run_id=run.id, citations=[], model="", grounded=False,
        )  # fmt: skip
    fields = ("answer", "confidence", "processing_stage", "citations", "model", "grounded")
    known = {name: frame[name] for name in fields}
    return AskResponse(run_id=run.id, session_id=run.session_id, cached=frame.get("cached", False), **known)


def stream(parts: Container, run: RunHandle, after: int = 0) -> RunStream:
    headers = {"X-Run-ID": run.id} | ({"X-Session-ID": run.session_id} if run.session_id else {})
    return RunStream(
        parts.event_log, run.id, after, silence=parts.settings.sse_comment_seconds,
        send_timeout=parts.settings.ws_send_timeout_seconds, on_slow=parts.metrics.dropped.inc, headers=headers,
    )  # fmt: skip


class RunFailed(AskGraphError):
    """A run's `error` frame on its way to being an HTTP error."""

    def __init__(self, frame: dict[str, Any]) -> None:
        super().__init__(frame["message"], retry_after=frame.get("retry_after"))
        self.kind = frame["code"]


def seq_of(last_event_id: str | None, run_id: str) -> int:
    """The number in a `Last-Event-ID`.

    Raises:
        InvalidInput: not of this run, or no number.
    """
    if last_event_id is None:
        return 0
    run, _, seq = last_event_id.rpartition(":")
    if run not in ("", run_id) or not (seq.isascii() and seq.isdigit() and len(seq) <= 15):
        raise InvalidInput("Last-Event-ID must be <run_id>:<seq> of this run.")
    return int(seq)
