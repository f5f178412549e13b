"""How a run ends: what came of it is kept, and its one terminal frame is said after that."""

import asyncio
from typing import Protocol

import structlog

from agents.events import NO_RELEVANT_ANSWER, RESPONSE_COMPLETE, Complete, Failure, RunFrame, Status
from agents.keeping import Keeper
from agents.preparing import Preparation
from agents.run import Run
from agents.state import Outcome
from infrastructure.database.repositories.turns import TakenOver
from infrastructure.errors import AskGraphError, StorageUnavailable
from infrastructure.providers.types import Usage
from services.sessions import Turn, TurnStatus

log = structlog.get_logger()
INTERNAL = "Something went wrong inside the service."


class RunMetrics(Protocol):
    """Who counts runs."""

    def run_finished(self, outcome: str, seconds: float, confidence: float | None, model: str, usage: Usage) -> None:
        """A run ended: `complete`, `no_relevant_answer`, `cancelled` or an error's kind."""

    def stopped(self, seconds: float) -> None:
        """Seconds from the wish to stop until the upstream was closed."""

    def run_taken_over(self, outcome: str) -> None:
        """A run that a dead process left was `begun_anew`, or `interrupted`."""

    def citations_dropped(self, count: int) -> None:
        """Markers in an answer that name no retrieved passage."""

    def first_token(self, seconds: float) -> None: ...

    def next_token(self, seconds: float) -> None: ...


class Endings:
    """Ends runs. Each method gives the outcome: `complete`, `no_relevant_answer`, `cancelled` or an error's kind; or
    raises TakenOver where another process has the run by now.
    """

    def __init__(self, keeper: Keeper, preparation: Preparation, metrics: RunMetrics) -> None:
        self._keeper = keeper
        self._preparation = preparation
        self._metrics = metrics

    async def complete(self, run: Run, found: Outcome) -> str:
        outcome = "complete" if found.supported else NO_RELEVANT_ANSWER
        frame = Complete(
            answer=found.answer,
            final_confidence=found.confidence,
            confidence=found.confidence,
            total_words=run.writer.words,
            citations=found.citations,
            grounded=found.grounded,
            usage=found.usage,
            finish_reason=found.finish_reason,
            model=found.model,
            session_id=run.session.id,
            processing_stage=RESPONSE_COMPLETE if found.supported else NO_RELEVANT_ANSWER,
            cached=found.cached,
        )
        self._metrics.citations_dropped(found.rejected_markers)
        return await self._end(run, frame, outcome, found.answer, "complete", found)

    async def cancelled(self, run: Run) -> str:
        if run.stop_reason is not None:
            return await self.failed(run, run.stop_reason)
        run.writer.flush()
        frame = Status("cancelled", run.session.id)
        outcome = await self._end(run, frame, "cancelled", run.writer.text, "incomplete")
        if run.stop_at is not None:
            self._metrics.stopped(asyncio.get_running_loop().time() - run.stop_at)
        return outcome

    async def failed(self, run: Run, error: AskGraphError) -> str:
        run.writer.flush()
        text = run.writer.text
        return await self._end(run, Failure.of(error, text), error.kind, text, "error")

    async def _end(
        self, run: Run, frame: RunFrame, outcome: str, answer: str, status: TurnStatus, found: Outcome | None = None
    ) -> str:
        """Keep what came of a run, then say its last frame. What cannot be kept ends as an error.

        Raises:
            TakenOver: another process has the run by now; nothing was said.
        """
        run.ending = True
        run.writer.flush()
        run.session.save(Turn(run.question, answer, status))
        try:
            await self._keeper.keep(run, frame, outcome, answer, status, found)
        except TakenOver:
            raise  # it is not this process's to end
        except StorageUnavailable as error:
            outcome, frame = error.kind, Failure.of(error, answer)
        except Exception as error:
            if found is not None:
                raise  # it ends as a failure then, without what could not be kept
            log.exception("a run could not be kept", error=type(error).__name__)
            outcome, frame = "internal_error", Failure.of(AskGraphError(INTERNAL), answer)
        run.writer.frame(frame)
        self._keeper.answered(run, answer, status)
        run.found = found
        usage, confidence, model = (found.usage, found.confidence, found.model) if found else (Usage(), None, "")
        self._metrics.run_finished(outcome, run.ms / 1000, confidence, model, usage)
        self._preparation.ended(run, model, outcome)
        return outcome
