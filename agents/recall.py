"""A run that ended long ago, or in a process that is gone: its last frame, made anew from what is kept of it."""

from agents.events import RESPONSE_COMPLETE, Complete, Failure, RunFrame, Status, encode
from infrastructure.database.repositories.conversations import StoredRun
from infrastructure.event_log.entry import Entry
from infrastructure.providers.types import Usage
from services.knowledge.grounding import Citation

OUTCOMES = ("complete", "no_relevant_answer")  # those of a `complete` frame; `cancelled` and kinds of errors besides
_LEAST_SEQ = 2  # a run has two frames at least, its first and its last


def terminal_entry(run: StoredRun, timestamp: float) -> Entry:
    """The last frame of an ended run, under the number that it had."""
    seq = max(run.last_seq or 0, _LEAST_SEQ)
    return Entry(seq, encode(_terminal(run), run.id, seq, timestamp), "", True)


def _terminal(run: StoredRun) -> RunFrame:
    if run.outcome == "cancelled":
        return Status("cancelled", run.chat_id)
    if run.outcome not in OUTCOMES:
        message = run.error_message or "The answer could not be finished."
        return Failure(message, message, run.outcome or "internal_error", retryable=True, answer=run.answer)
    confidence = run.confidence or 0.0
    return Complete(
        answer=run.answer,
        final_confidence=confidence,
        confidence=confidence,
        total_words=len(run.answer.split()),
        citations=tuple(_citation(fields) for fields in run.citations),
        grounded=bool(run.grounded),
        usage=Usage(run.prompt_tokens or 0, run.completion_tokens or 0),
        finish_reason=run.finish_reason or "stop",
        model=run.model or "",
        session_id=run.chat_id,
        processing_stage=RESPONSE_COMPLETE if run.outcome == "complete" else run.outcome,
    )


def _citation(fields: dict[str, object]) -> Citation:
    return Citation(**({"page": None, "section": None} | fields))  # type: ignore[arg-type]  # as `citation_fields` made it
