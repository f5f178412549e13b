"""How a run ended, read from its last frame."""

from dataclasses import dataclass
from typing import Any

import orjson

from agents.ports import EventLog
from backend.routers.ask import RunFailed
from backend.schemas.aliases import AnswerFacts, Source


@dataclass(frozen=True, slots=True)
class RunEnd:
    """An answer with what is known of its making. `citations` are as in the `complete` frame."""

    answer: str
    model: str
    finish_reason: str  # the model's own word; `cancelled` where somebody stopped the run
    tokens: int  # of the prompts and of the answer
    citations: list[dict[str, Any]]


async def run_end(log: EventLog, run_id: str) -> RunEnd:
    """Wait for a run's last frame.

    Raises:
        RunFailed: it ended with an error.
        NotFound: no such run, or it left.
    """
    frame = orjson.loads((await log.terminal(run_id)).data)
    if frame["type"] == "error":
        raise RunFailed(frame)
    if frame["type"] == "status":
        return RunEnd(log.answer(run_id), "", "cancelled", 0, [])
    usage = frame["usage"]
    tokens = usage["prompt_tokens"] + usage["completion_tokens"]
    return RunEnd(frame["answer"], frame["model"], frame["finish_reason"], tokens, frame["citations"])


def answer_facts(end: RunEnd, seconds: float) -> AnswerFacts:
    """What older clients are told of an answer that took so many seconds."""
    sources = [Source(**citation) for citation in end.citations]
    return AnswerFacts(model_used=end.model, tokens_used=end.tokens, generation_time=round(seconds, 3), sources=sources)
