"""Runs: a question being answered. The runner owns each run's task; connections come and go and own nothing."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from agents.approvals import Approvals, Suspended, Tell
from agents.ending import INTERNAL, Endings, RunMetrics
from agents.events import Status
from agents.graph import AnswerGraph
from agents.keeping import NO_RUN, Keeper
from agents.places import Places
from agents.ports import Clock, EventLog
from agents.preparing import Preparation
from agents.prompts import PROMPT_VERSIONS
from agents.reviving import facts_of
from agents.run import Ask, Run, RunHandle, RunLimits
from agents.state import Budget, Outcome
from agents.taking_over import TakeOver
from agents.tracing import RunTrace, Traces, begin_trace
from agents.writer import RunWriter
from infrastructure.database.engine import is_unavailable
from infrastructure.database.repositories.turns import BegunTurn, KnownTurn, TakenOver
from infrastructure.errors import AskGraphError, Conflict, NotFound, RateLimited, ShuttingDown, StorageUnavailable
from infrastructure.log_ids import bind_run, continue_ids
from services.principals import may_reach
from services.sessions import MAX_WAITING, Concurrency, SeenRequest, Session, SessionManager

__all__ = ["Ask", "RunHandle", "RunLimits", "RunMetrics", "Runner"]

log = structlog.get_logger()
LOST, SUSPENDED = "lost", "suspended"  # outcomes that are no end: another process goes on
CANCEL, ABANDON, ABANDON_OWNER = "cancel", "abandon", "abandon_owner"  # what processes tell each other
TELL_AGAIN_SECONDS = 2.0
RESTARTING = "The service is restarting and could not finish this answer."


class Runner:
    """Starts runs, lets them be stopped, and ends each with exactly one terminal frame.

    A question is committed before its run is acknowledged, an answer before its run's last frame. `tell_others` is None
    where there is but this process. Where there are more, a chat's runs stand in line by what the store has under way,
    and a run that is elsewhere is stopped by telling its process.
    """

    def __init__(
        self,
        graph: AnswerGraph,
        log: EventLog,
        sessions: SessionManager,
        keeper: Keeper,
        preparation: Preparation,
        metrics: RunMetrics,
        *,
        limits: RunLimits,
        concurrency: Concurrency,
        new_id: Callable[[], str],
        clock: Clock,
        approvals: Approvals | None = None,
        traces: Traces | None = None,
        tell_others: Tell | None = None,
    ) -> None:
        self._graph = graph
        self._approvals = approvals
        self._traces = traces
        self._log = log
        self._sessions = sessions
        self._keeper = keeper
        self._preparation = preparation
        self._metrics = metrics
        self._ends = Endings(keeper, preparation, metrics)
        self._places = Places(log, keeper, shared=tell_others is not None)
        self.take_over = TakeOver(self, log, sessions, preparation, self._ends, metrics, limits.attempts, clock)
        """Goes on with what other processes left."""
        self._limits = limits
        self._concurrency = concurrency
        self._new_id = new_id
        self._clock = clock
        self._active: dict[str, Run] = {}
        self._tell_others = tell_others
        self._draining = False
        self._closing = False  # runs have had their time
        self._beginning = 0  # questions that are being kept
        self._begun = asyncio.Event()

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
            NotFound: the session is somebody else's, or has to be there and is not; or no such message, or file.
            ShuttingDown: the process takes no more questions.
            RateLimited: too many runs, or too many in line in this session.
            Conflict: the session is busy and its policy is to reject; or the request id came with another question.
            StorageUnavailable: the question cannot be kept.
        """
        if ask.request_id is None:
            return await self._start(ask)
        # Not the session's alone: a stranger, who is told that there is none, would learn of its requests.
        scope = f"{ask.session_id} {ask.owner}" if ask.session_id else ask.owner or ask.caller
        async with self._sessions.one_of(scope, ask.request_id):
            if known := self._sessions.seen(scope, ask.request_id, ask.digest):
                await self.require(known.run_id, ask.owner)
                bind_run(known.run_id, known.session_id)
                return RunHandle(known.run_id, known.session_id, True, known.user_message_id, known.answer_id)
            handle = await self._start(ask)
            self._sessions.remember(scope, ask.request_id, _seen(handle, ask))
            return handle

    async def require(self, run_id: str, owner: str | None) -> None:
        """Make sure that `owner` may read this run, and that the log has it: one that runs elsewhere is followed, an
        ended one is fetched from the store.

        Raises:
            NotFound: no such run, or somebody else's.
            StorageUnavailable: it is under way elsewhere, and cannot be followed just now.
        """
        try:
            found = await self._log.find(run_id)
        except (NotFound, StorageUnavailable):
            found = await self._keeper.recall(run_id, self._log, owner)
        if not may_reach(found, owner):
            raise NotFound(NO_RUN)

    async def cancel(self, run_id: str) -> None:
        """Stop a run; returns when its terminal frame stands in the log. An ended run stays as it is.

        Raises:
            NotFound: no such run.
        """
        while True:
            self.stop(run_id)
            if self._tell_others is None or run_id in self._active:
                await self._log.terminal(run_id)
                return
            self._tell_others(CANCEL, {"run_id": run_id})
            with suppress(TimeoutError):  # its process may have died: the one that takes it over is told, too
                async with asyncio.timeout(TELL_AGAIN_SECONDS):
                    await self._log.terminal(run_id)
                    return

    def stop(self, run_id: str) -> None:
        """Stop a run, if it is here."""
        self._stop(run_id, None)

    def lose(self, run_id: str) -> None:
        """Another process has a run that is here: end it without another word."""
        if (run := self._active.get(run_id)) is not None and not run.lost:
            log.warning("a run was taken over by another worker", run_id=run_id)
            self._let_go(run)

    def abandon(self, session_id: str) -> None:
        """A chat is gone: stop what it has under way, and forget it, here and elsewhere."""
        self.forget(session_id)
        if self._tell_others is not None:
            self._tell_others(ABANDON, {"session_id": session_id})

    def forget(self, session_id: str) -> None:
        """The same in this process."""
        session = self._sessions.find(session_id)
        for run_id in tuple(session.active) if session else ():
            self._stop(run_id, None)
        self._sessions.forget(session_id)
        self._preparation.forget(session_id)

    def abandon_owner(self, owner: str) -> None:
        """An account is gone, with its chats, here and elsewhere."""
        self.forget_owner(owner)
        if self._tell_others is not None:
            self._tell_others(ABANDON_OWNER, {"owner": owner})

    def forget_owner(self, owner: str) -> None:
        """The same in this process."""
        for session in self._sessions.forget_owner(owner):
            for run_id in tuple(session.active):
                self._stop(run_id, None)

    async def drain(self, grace_seconds: float) -> None:
        """Take no more questions, give runs `grace_seconds` to end, then end them; those that wait for a person are
        left to the next process. Where there are other processes, they begin anew what has not ended.
        """
        self._draining = True
        if self._approvals is not None:
            self._approvals.suspend()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._all_ended()
        self._closing = True
        for run in tuple(self._active.values()):
            self._end_early(run)
        while self._beginning:  # what is kept begins, and is stopped at once: nobody else would end its run
            self._begun.clear()
            await self._begun.wait()
        while tasks := self._tasks():
            await asyncio.wait(tasks)

    async def _all_ended(self) -> None:
        """Also those whose questions are being kept when draining begins: they are acknowledged, and get their time."""
        while self._beginning or self._active:
            if self._beginning:
                self._begun.clear()
                await self._begun.wait()
            else:
                await asyncio.wait(self._tasks())

    def _end_early(self, run: Run) -> None:
        if self._tell_others is None or run.begun is None:
            self._stop(run.id, ShuttingDown(RESTARTING))
        else:
            self._let_go(run)

    def _let_go(self, run: Run) -> None:
        if not run.ending:
            run.lost = True
            self._stop(run.id, None)

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [run.task for run in self._active.values() if run.task]

    def go(self, run: Run, queued: bool = False) -> None:
        """Have a run work that has its log."""
        run.trace = self._trace(run)
        run.session.active[run.id] = run.answer_id
        self._active[run.id] = run
        run.task = asyncio.create_task(self._work(run, queued=queued), name=f"run {run.id}")

    async def _start(self, ask: Ask) -> RunHandle:
        if self._draining:
            raise ShuttingDown("The service is restarting. Ask again in a moment.")
        if len(self._active) >= self._limits.active:
            raise RateLimited("Too many questions are being answered. Ask again in a moment.", retry_after=1.0)
        self._beginning += 1
        try:
            return await self._begin(await self._admitted(ask), ask)
        finally:
            self._beginning -= 1
            self._begun.set()

    async def _admitted(self, ask: Ask) -> Session:
        """The session that a question may come into."""
        await self._preparation.admit(ask)
        session_id = ask.session_id or (self._new_id() if ask.keep else None)
        session = await self._sessions.open(
            session_id, ask.owner, must_exist=ask.must_exist, fresh=ask.fresh or ask.session_id is None
        )
        self._sessions.admit(session, self._concurrency)
        if session.busy and (ask.edits or ask.regenerates):
            raise Conflict("An answer is being written in this chat. Wait for it, or stop it.")
        if self._concurrency == "interrupt":
            for earlier in tuple(session.active):
                self._stop(earlier, None)
        return session

    async def _begin(self, session: Session, ask: Ask) -> RunHandle:
        run_id, answer_id = self._new_id(), self._new_id()
        session.active[run_id] = answer_id
        begun: BegunTurn | None = None
        try:
            if session.id is not None:
                turn = self._keeper.new_turn(session.id, ask, run_id, answer_id, self._most_ahead(ask))
                kept = await self._sessions.begin(session, turn)
                if isinstance(kept, KnownTurn):
                    del session.active[run_id]
                    await self.require(kept.run_id, ask.owner)
                    bind_run(kept.run_id, session.id)
                    return RunHandle(kept.run_id, session.id, True, kept.message_id, kept.answer_id)
                begun = kept
        except BaseException:
            session.active.pop(run_id, None)
            raise
        bind_run(run_id, session.id)
        question = begun.question if begun else ask.question
        owner = session.owner if session.id else ask.owner
        run = self._launch(run_id, session, question, owner, begun, answer_id, ask)
        if begun and not ask.regenerates:
            self._keeper.asked(run)
        if begun and self._tell_others is not None and self._concurrency == "interrupt":
            for earlier in begun.ahead:
                self._tell_others(CANCEL, {"run_id": earlier})
        return RunHandle(run_id, session.id, False, begun.message_id if begun else None, answer_id if begun else None)

    def _most_ahead(self, ask: Ask) -> int | None:
        if self._tell_others is None:
            return None
        return 0 if self._concurrency == "reject" or ask.edits or ask.regenerates else MAX_WAITING

    def _launch(
        self, run_id: str, session: Session, question: str, owner: str | None, begun: BegunTurn | None,
        answer_id: str, ask: Ask,
    ) -> Run:  # fmt: skip
        self._log.open(run_id, owner)
        writer = RunWriter(run_id, self._log, self._clock, self._metrics)
        run = Run(run_id, session, question, writer, begun, answer_id, ask, owner)
        waits = bool(begun and begun.ahead) or session.occupied or next(iter(session.active)) != run_id
        writer.frame(Status("queued" if waits else "streaming", session.id))
        self.go(run, waits)
        if self._closing:  # it began while its question was being kept
            self._end_early(run)
        return run

    def _stop(self, run_id: str, reason: AskGraphError | None) -> None:
        run = self._active.get(run_id)
        if run is None or run.task is None or run.ending or run.stop_at is not None:
            return
        run.stop_at = asyncio.get_running_loop().time()
        run.stop_reason = reason
        if run.working:
            run.task.cancel()

    async def _work(self, run: Run, queued: bool) -> None:
        ids = continue_ids(run_id=run.id, session_id=run.session.id, user_id=run.ask.owner)
        outcome: str | None = None
        run.working = True
        try:
            outcome = await self._to_the_end(run, queued)
        except Suspended:
            outcome = SUSPENDED  # nothing is said or kept: another process goes on with it
        except TakenOver:
            outcome = LOST
        finally:
            self._active.pop(run.id, None)
            run.session.active.pop(run.id, None)
            if outcome in (LOST, SUSPENDED):
                self._log.release(run.id)
            self._tell(run, outcome)
            ids.end()

    async def _to_the_end(self, run: Run, queued: bool) -> str:
        try:
            if run.stop_at is not None:
                raise asyncio.CancelledError
            async with self._places.turn(run):
                if queued:
                    run.writer.start()
                    run.writer.frame(Status("streaming", run.session.id))
                self._keeper.working(run)
                return await self._ends.complete(run, await self._answer(run))
        except asyncio.CancelledError:
            if run.lost:
                raise TakenOver from None
            return await self._ends.cancelled(run)
        except (Suspended, TakenOver):
            raise
        except AskGraphError as error:
            return await self._ends.failed(run, error)
        except Exception as error:
            if is_unavailable(error):
                away = StorageUnavailable("The database does not answer. Ask again in a moment.", retry_after=1.0)
                return await self._ends.failed(run, away)
            log.exception("run failed", error=type(error).__name__)
            return await self._ends.failed(run, AskGraphError(INTERNAL))

    def _trace(self, run: Run) -> RunTrace | None:
        if self._traces is None:
            return None
        return begin_trace(self._traces, run.id, "ask", session=run.session.id, user=run.ask.owner or run.owner)

    def _tell(self, run: Run, outcome: str | None) -> None:
        """Say in the log, and where traces go, how a run has ended."""
        more = {}
        if run.trace is not None:
            run.trace.finish(outcome or AskGraphError.kind, run.told(run.trace.content))
            more["trace"] = run.trace.id
        log.info("run finished", outcome=outcome, ms=run.ms, prompt=PROMPT_VERSIONS, **run.figures, **more)

    async def _answer(self, run: Run) -> Outcome:
        if run.begun is not None:
            await self._sessions.refresh(run.session, run.begun.asked_at)
        now = asyncio.get_running_loop().time()
        run.budget = Budget(now + self._limits.seconds, self._limits.tool_steps, self._limits.tokens)
        context = await self._preparation.context(run, run.budget)
        if self._graph.may_wait:
            context.kept = facts_of(run)
        return await self._graph.run(context, run.saved)


def _seen(handle: RunHandle, ask: Ask) -> SeenRequest:
    now = asyncio.get_running_loop().time()
    return SeenRequest(handle.id, handle.session_id, ask.digest, now, handle.user_message_id, handle.answer_id)
