"""Runs that another process left: those that wait are gone on with, those that it was at when it died begun anew."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

import structlog

from agents.checkpoints import Unreadable
from agents.ending import Endings, RunMetrics
from agents.events import Status
from agents.ports import Clock, EventLog, Model
from agents.preparing import Preparation
from agents.reviving import revived
from agents.run import Ask, Run
from agents.saved_run import SavedRun
from agents.writer import RunWriter
from infrastructure.database.repositories.turns import BegunTurn, TakenOver
from infrastructure.database.repositories.workers import LostRun
from infrastructure.errors import Conflict, Interrupted, NotFound, StorageUnavailable
from services.sessions import Session, SessionManager

log = structlog.get_logger()

FRAMES_OF_A_HOLDER = 1_000_000
"""Where the numbers begin when nobody knows how far the process before had come, for its frames died with it: whoever
has read some of them must find the new ones behind.
"""


class Runs(Protocol):
    """Who owns runs."""

    def go(self, run: Run, queued: bool = False) -> None:
        """Have a run work that has its log."""


class TakeOver:
    """Goes on with what others left, `attempts` times with what died; after that it ends as `interrupted`."""

    def __init__(
        self, runs: Runs, log: EventLog, sessions: SessionManager, preparation: Preparation, ends: Endings,
        metrics: RunMetrics, attempts: int, clock: Clock,
    ) -> None:  # fmt: skip
        self._runs = runs
        self._log = log
        self._sessions = sessions
        self._preparation = preparation
        self._ends = ends
        self._metrics = metrics
        self._attempts = attempts
        self._clock = clock

    async def revive(self, saved: SavedRun) -> None:
        """Go on with a run that another process left waiting for a person.

        Raises:
            Unreadable: what was kept of it cannot be used.
            NotFound: its chat is gone.
            Conflict: it has its last frame, or somebody else has taken it.
        """
        ask, begun, answer_id = revived(saved.run)
        session = await self._sessions.open(ask.session_id, ask.owner, must_exist=True)
        await continue_log(self._log, saved.run_id, session.owner, saved.fence, saved.seq, saved.text)
        run = self._run(saved.run_id, session, begun, answer_id, ask, saved.fence)
        run.saved = saved
        run.writer.resume(saved.text)
        self._runs.go(run)

    async def begin_anew(self, lost: LostRun) -> None:
        """Answer again what another process left unanswered by dying; or end it, where that was tried often enough."""
        try:
            session = await self._sessions.open(lost.chat_id, lost.owner, must_exist=True)
        except NotFound:
            return  # deleted meanwhile, and its run with it
        session.stale = True
        over, spent = not await self._has_log(lost, session), lost.attempts > self._attempts
        try:
            ask, begun = asked_again(lost, self._preparation.model)
        except Unreadable:
            spent, (ask, begun) = True, asked_again(replace(lost, asked=None), self._preparation.model)
        run = self._run(lost.id, session, begun, lost.answer_id, ask, lost.fence)
        if over or spent:
            return await self._interrupt(run, over)
        run.writer.frame(Status("restarted", session.id))
        log.warning("a run is begun anew", run_id=lost.id, attempt=lost.attempts)
        self._metrics.run_taken_over("begun_anew")
        self._runs.go(run)

    async def _has_log(self, lost: LostRun, session: Session) -> bool:
        """False: it has had its last frame, before what came of it could be kept."""
        try:
            seq = (lost.fence - 1) * FRAMES_OF_A_HOLDER
            await continue_log(self._log, lost.id, session.owner, lost.fence, seq, apart=lost.apart)
        except Conflict:
            return False
        return True

    async def _interrupt(self, run: Run, over: bool) -> None:
        if over:
            run.writer.ended = True
        else:
            run.writer.resume(self._log.answer(run.id))
        log.warning("a run was interrupted", run_id=run.id)
        self._metrics.run_taken_over("interrupted")
        with suppress(TakenOver):
            await self._ends.failed(run, Interrupted("The service stopped while it answered. Ask again."))

    def _run(
        self, run_id: str, session: Session, begun: BegunTurn, answer_id: str, ask: Ask, fence: int
    ) -> Run:  # fmt: skip
        writer = RunWriter(run_id, self._log, self._clock, self._metrics)
        return Run(run_id, session, begun.question, writer, begun, answer_id, ask, session.owner, fence)


async def continue_log(
    log: EventLog, run_id: str, owner: str | None, fence: int, seq: int, text: str = "", *, apart: bool = False
) -> None:
    """Have the log of a run here, to be written on: behind its frames where there are any, else behind `seq` with the
    answer's `text` up to there. With `apart` its readers may have had frames that the log has not: they do not count.

    Raises:
        Conflict: it has its last frame, or somebody else has taken it.
    """
    try:
        if not apart:
            await log.take_over(run_id, fence)
            return
    except (NotFound, StorageUnavailable):
        pass
    log.open(run_id, owner, seq, text, fence)


def asked_again(lost: LostRun, choose: Callable[[str | None], Model | None]) -> tuple[Ask, BegunTurn]:
    """The question as it was asked, and its turn.

    Raises:
        Unreadable: how it was asked was kept by another version.
    """
    manner = dict(lost.asked or {})
    model, owner = choose(manner.pop("model", None)), manner.pop("owner", lost.owner)
    for name in ("file_ids", "stop"):
        manner[name] = tuple(manner.get(name, ()))
    try:
        ask = Ask(
            lost.question, f"chat {lost.chat_id}", lost.chat_id, True, owner=owner, must_exist=True, model=model,
            **manner,
        )  # fmt: skip
    except TypeError as error:
        raise Unreadable from error
    begun = BegunTurn(
        lost.answer_position, 0, lost.asked_at, lost.question, lost.message_id, lost.titled, False, lost.started_at,
        lost.agent_id,
    )  # fmt: skip
    return ask, begun
