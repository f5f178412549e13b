"""Runs: a question being answered. The runner owns each run's task; connections come and go and own nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from structlog.contextvars import bind_contextvars

from agents.events import NO_RELEVANT_ANSWER, RESPONSE_COMPLETE, Complete, Failure, Status
from agents.graph import AnswerGraph
from agents.ports import Clock, EventLog
from agents.state import Budget, Outcome, RunContext
from agents.writer import RunWriter
from infrastructure.errors import AskGraphError, RateLimited, ShuttingDown
from infrastructure.providers.types import Usage
from services.sessions import Concurrency, Session, SessionManager, Turn

log = structlog.get_logger()


class RunMetrics(Protocol):
    """Who counts runs."""

    def run_finished(self, outcome: str, seconds: float, confidence: float | None, model: str, usage: Usage) -> None:
        """A run ended: `complete`, `no_relevant_answer`, `cancelled` or an error's kind."""

    def stopped(self, seconds: float) -> None:
        """Seconds from the wish to stop until the upstream was closed."""

    def citations_dropped(self, count: int) -> None:
        """Markers in an answer that name no retrieved passage."""

    def first_token(self, seconds: float) -> None: ...

    def next_token(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What one run may use, and how many may be under way at once."""

    seconds: float = 180.0
    tokens: int = 100_000
    tool_steps: int = 5
    active: int = 1000


@dataclass(frozen=True, slots=True)
class Ask:
    """A question as it arrives, checked. `session_id` None and `keep` False: nothing is remembered.

    `caller` is the address that asks, `owner` the signed-in user's id. With `must_exist` an unknown session is not
    begun. `edits` is the user message that this question takes the place of, `regenerates` the one that is answered
    anew (then `question` is not looked at).
    """

    question: str
    caller: str
    session_id: str | None = None
    keep: bool = False
    request_id: str | None = None
    owner: str | None = None
    must_exist: bool = False
    fresh: bool = False  # the session's id was made here just now: nobody can have it yet
    edits: str | None = None
    regenerates: str | None = None


@dataclass(frozen=True, slots=True)
class RunHandle:
    """What the one who asked gets: the run's frames are read from the event log under `id`."""

    id: str
    session_id: str | None
    joined: bool = False
    user_message_id: str | None = None
    answer_id: str | None = None  # the assistant message's, which is there when the run has ended


@dataclass(slots=True)
class _Run:
    id: str
    session: Session
    question: str
    writer: RunWriter
    task: asyncio.Task[None] | None = None
    begun: bool = False  # its task has taken its first step: only then can cancelling it be seen from inside
    stop_at: float | None = None  # when it was told to stop, in the loop's time
    stop_reason: AskGraphError | None = None  # None: the one who asked wanted it
    started_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())


class Runner:
    """Starts runs, lets them be stopped, and ends each with exactly one terminal frame."""

    def __init__(
        self,
        graph: AnswerGraph,
        log: EventLog,
        sessions: SessionManager,
        metrics: RunMetrics,
        *,
        limits: RunLimits,
        concurrency: Concurrency,
        new_id: Callable[[], str],
        clock: Clock,
    ) -> None:
        self._graph = graph
        self._log = log
        self._sessions = sessions
        self._metrics = metrics
        self._limits = limits
        self._concurrency = concurrency
        self._new_id = new_id
        self._clock = clock
        self._active: dict[str, _Run] = {}
        self._draining = False

    @property
    def active(self) -> int:
        """Runs under way or in line."""
        return len(self._active)

    @property
    def draining(self) -> bool:
        return self._draining

    async def start(self, ask: Ask) -> RunHandle:
        """Start a run for `ask`, or join the one that its request id started before.

        Raises:
            ShuttingDown: the process takes no more questions.
            RateLimited: too many runs, or too many in line in this session.
            Conflict: the session is busy and its policy is to reject; or the request id came with another question.
        """
        scope = ask.session_id or ask.caller
        known = self._sessions.seen(scope, ask.request_id, ask.question) if ask.request_id else None
        if known and self._log.last_seq(known.run_id):
            return RunHandle(known.run_id, known.session_id, joined=True)
        if self._draining:
            raise ShuttingDown("The service is restarting. Ask again in a moment.")
        if len(self._active) >= self._limits.active:
            raise RateLimited("Too many questions are being answered. Ask again in a moment.", retry_after=1.0)
        session_id = ask.session_id or (self._new_id() if ask.keep else None)
        session = self._sessions.open(session_id)
        self._sessions.admit(session, self._concurrency)
        if self._concurrency == "interrupt":
            for earlier in tuple(session.active):
                self._stop(earlier, None)
        run = self._begin(session, ask.question)
        if ask.request_id:
            self._sessions.remember(scope, ask.request_id, run.id, session_id, ask.question)
        return RunHandle(run.id, session_id)

    async def require(self, run_id: str, owner: str | None) -> None:
        """Make sure that `owner` may read this run.

        Raises:
            NotFound: no such run, or somebody else's.
        """
        self._log.require(run_id)

    async def cancel(self, run_id: str) -> None:
        """Stop a run; returns when its terminal frame stands in the log. An ended run stays as it is.

        Raises:
            NotFound: no such run.
        """
        self._stop(run_id, None)
        await self._log.terminal(run_id)

    async def drain(self, grace_seconds: float) -> None:
        """Take no more questions, give runs `grace_seconds` to end, then end them."""
        self._draining = True
        tasks = [run.task for run in self._active.values() if run.task]
        if tasks:
            await asyncio.wait(tasks, timeout=grace_seconds)
        for run_id in tuple(self._active):
            self._stop(run_id, ShuttingDown("The service is restarting and could not finish this answer."))
        if tasks:
            await asyncio.wait(tasks)

    def _begin(self, session: Session, question: str) -> _Run:
        run_id = self._new_id()
        writer = RunWriter(run_id, self._log, self._clock, self._metrics)
        run = self._active[run_id] = _Run(run_id, session, question, writer)
        session.active.append(run_id)
        first = Status("queued" if session.occupied or len(session.active) > 1 else "streaming", session.id)
        writer.frame(first)
        run.task = asyncio.create_task(self._work(run, queued=first.status == "queued"), name=f"run {run_id}")
        return run

    def _stop(self, run_id: str, reason: AskGraphError | None) -> None:
        run = self._active.get(run_id)
        if run is None or run.task is None or run.stop_at is not None:
            return
        run.stop_at = asyncio.get_running_loop().time()
        run.stop_reason = reason
        if run.begun:
            run.task.cancel()

    async def _work(self, run: _Run, queued: bool) -> None:
        bind_contextvars(run_id=run.id, session_id=run.session.id)
        outcome: str | None = None
        run.begun = True
        try:
            if run.stop_at is not None:
                raise asyncio.CancelledError
            async with run.session.turn():
                if queued:
                    run.writer.start()
                    run.writer.frame(Status("streaming", run.session.id))
                outcome = self._complete(run, await self._answer(run))
        except asyncio.CancelledError:
            outcome = self._cancelled(run)
        except AskGraphError as error:
            outcome = self._failed(run, error)
        except Exception as error:
            log.exception("run failed", error=type(error).__name__)
            outcome = self._failed(run, AskGraphError("Something went wrong inside the service."))
        finally:
            self._active.pop(run.id, None)
            run.session.active.remove(run.id)
            log.info("run finished", outcome=outcome, words=run.writer.words, ms=self._ms(run))

    async def _answer(self, run: _Run) -> Outcome:
        now = asyncio.get_running_loop().time()
        budget = Budget(now + self._limits.seconds, self._limits.tool_steps, self._limits.tokens)
        return await self._graph.run(
            RunContext(run.question, run.session.history(), run.session.id, run.writer, budget)
        )

    def _complete(self, run: _Run, found: Outcome) -> str:
        stage = RESPONSE_COMPLETE if found.supported else NO_RELEVANT_ANSWER
        run.session.save(Turn(run.question, found.answer, "complete"))
        run.writer.frame(
            Complete(
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
                processing_stage=stage,
            )
        )
        outcome = "complete" if found.supported else NO_RELEVANT_ANSWER
        self._metrics.citations_dropped(found.rejected_markers)
        self._metrics.run_finished(outcome, self._ms(run) / 1000, found.confidence, found.model, found.usage)
        return outcome

    def _cancelled(self, run: _Run) -> str:
        run.writer.flush()
        if run.stop_reason is not None:
            return self._failed(run, run.stop_reason)
        run.session.save(Turn(run.question, run.writer.text, "incomplete"))
        run.writer.frame(Status("cancelled", run.session.id))
        if run.stop_at is not None:
            self._metrics.stopped(asyncio.get_running_loop().time() - run.stop_at)
        self._metrics.run_finished("cancelled", self._ms(run) / 1000, None, "", Usage())
        return "cancelled"

    def _failed(self, run: _Run, error: AskGraphError) -> str:
        run.writer.flush()
        run.session.save(Turn(run.question, run.writer.text, "error"))
        run.writer.frame(Failure.of(error, run.writer.text))
        self._metrics.run_finished(error.kind, self._ms(run) / 1000, None, "", Usage())
        return error.kind

    def _ms(self, run: _Run) -> float:
        return round((asyncio.get_running_loop().time() - run.started_at) * 1000, 1)
