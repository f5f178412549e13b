"""Approvals: a tool with side effects runs only when a person says so.

The node that would run it interrupts the graph (`ask`); the run is kept, says `approval_required` for each call, and
waits outside the graph for the answers. With them the graph goes on where it stood. What is kept is claimed before it
goes on, so a process that dies behind an approval never has the tool run a second time without asking.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from langgraph.types import Command, interrupt

from agents.checkpoints import RunCheckpoints, Unreadable
from agents.events import Step
from agents.saved_run import SavedRun, pack, restore, unpack
from agents.state import RunContext
from agents.writer import valid_text
from infrastructure.errors import NotFound, StorageUnavailable
from infrastructure.providers.types import ToolCall
from services.sessions import is_uuid

log = structlog.get_logger()
APPROVAL_SECONDS = 600.0
MAX_DETAIL_CHARS = 500
DECLINED = "The person who asks declined this call. It was not made. Do not try it again; go on without it."
NO_CALL = "No such call waits for an approval."
APPROVE = "approve"
Tell = Callable[[str, Mapping[str, str]], None]
"""Tells all processes that answer questions something: its kind, and what is said of it."""


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A call that waits. `detail` is the tool's name and its arguments, cut to 500 characters."""

    call_id: str
    name: str
    detail: str


class Suspended(Exception):
    """A run that waits is left as it is, for another process goes on with it: this one says and keeps nothing more."""


class Store(Protocol):
    """Where runs that wait outlast this process."""

    async def keep(self, run_id: str, state: bytes, expires_in: float) -> None: ...

    async def claim(self, run_id: str) -> bool:
        """Forget what is kept of a run; False where there was nothing: somebody else has claimed it."""

    async def release(self, run_id: str) -> None:
        """Let any process go on with it."""

    async def state(self, run_id: str) -> bytes | None:
        """What is kept of a run, whichever process has it."""


@dataclass(slots=True)
class _Waiting:
    calls: Sequence[PendingCall]
    kept: bool
    answers: dict[int, bool] = field(default_factory=dict)  # by the call's place in `calls`
    suspended: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def suspend(self) -> None:
        if self.kept:
            self.suspended = True
            self.over.set()

    def answer(self, call_id: str, approved: bool) -> bool:
        """Whether a call of that id was waiting; each is answered once."""
        for place, call in enumerate(self.calls):
            if call.call_id == call_id and place not in self.answers:
                self.answers[place] = approved
                if len(self.answers) == len(self.calls):
                    self.over.set()
                return True
        return False

    @property
    def approved(self) -> tuple[str, ...]:
        declined = {call.call_id for place, call in enumerate(self.calls) if not self.answers.get(place)}
        return tuple({call.call_id: None for call in self.calls if call.call_id not in declined})


def pending_call(call_id: str, call: ToolCall) -> PendingCall:
    detail = valid_text(f"{call.name} {call.arguments or '{}'}")
    if len(detail) > MAX_DETAIL_CHARS:
        detail = f"{detail[: MAX_DETAIL_CHARS - 1]}…"
    return PendingCall(call_id, call.name, detail)


def ask(calls: Iterable[PendingCall]) -> frozenset[str]:
    """The calls that a person approved, by their ids. For a node that has done nothing yet: it is run anew with the
    answers.
    """
    answers = interrupt([(call.call_id, call.name, call.detail) for call in calls])
    return frozenset(answers["approved"])


class Approvals:
    """Takes runs through a graph that may be interrupted. `checkpoints` is what the graph is to be compiled with."""

    def __init__(
        self, store: Store, *, seconds: float = APPROVAL_SECONDS, tell_others: Tell | None = None
    ) -> None:  # fmt: skip
        self.checkpoints = RunCheckpoints()
        self._store = store
        self._tell_others = tell_others
        self._seconds = seconds
        self._waiting: dict[str, _Waiting] = {}
        self._ends = False

    def waits(self, run_id: str, call_id: str) -> bool:
        """Whether that call of the run waits for an answer."""
        waiting = self._waiting.get(run_id)
        return waiting is not None and any(
            call.call_id == call_id and place not in waiting.answers for place, call in enumerate(waiting.calls)
        )

    def answer(self, run_id: str, call_id: str, approved: bool) -> None:
        """Say what is to become of a call.

        Raises:
            NotFound: it does not wait, or does not wait any more.
        """
        waiting = self._waiting.get(run_id)
        if waiting is None or not waiting.answer(call_id, approved):
            raise NotFound(NO_CALL)

    async def find(self, run_ids: Iterable[str], call_id: str) -> str | None:
        """The first of these runs in which that call waits, in whichever process."""
        for run_id in run_ids:
            if self.waits(run_id, call_id) or await self._waits_elsewhere(run_id, call_id):
                return run_id
        return None

    async def settle(self, run_id: str, call_id: str, approved: bool) -> None:
        """Say what is to become of a call, in whichever process it waits.

        Raises:
            NotFound: it does not wait, or does not wait any more.
            StorageUnavailable: the database, which knows what waits elsewhere, does not answer.
        """
        if run_id in self._waiting or self._tell_others is None:
            return self.answer(run_id, call_id, approved)
        if not await self._waits_elsewhere(run_id, call_id):
            raise NotFound(NO_CALL)
        self._tell_others(APPROVE, {"run_id": run_id, "call_id": call_id, "approved": "yes" if approved else ""})
        return None

    async def _waits_elsewhere(self, run_id: str, call_id: str) -> bool:
        if self._tell_others is None or run_id in self._waiting:
            return False
        state = await self._store.state(run_id) if is_uuid(run_id) else None
        with suppress(Unreadable):  # of another version: its own process knows
            return state is not None and any(call[0] == call_id for call in unpack(run_id, state, 0.0).calls)
        return False

    @property
    def waiting(self) -> tuple[str, ...]:
        """The runs that wait."""
        return tuple(self._waiting)

    def suspend(self) -> None:
        """This process ends: each run that waits, or comes to wait, raises Suspended, and what is kept of it is there
        for others. One that is not kept goes on waiting.
        """
        self._ends = True
        for waiting in self._waiting.values():
            waiting.suspend()

    async def run(
        self, graph: Any, given: Any, config: Mapping[str, Any], context: RunContext, saved: SavedRun | None = None
    ) -> Any:
        """The graph's result for `given`; or, with `saved`, for the run that was kept, from where it stood.

        Raises:
            Suspended: the process ends while it waits, or another one has gone on with it.
            StorageUnavailable: it was answered, and cannot be claimed.
            Unreadable: it was kept by another version, and is not kept any more.
        """
        run_id = context.writer.run_id
        config = {**config, "configurable": {"thread_id": run_id}}
        try:
            if saved is not None:
                await self._load(saved, context)
                given = await self._resume(saved.calls, context, saved)
            while True:
                output = await graph.ainvoke(given, config, context=context, version="v2", durability="exit")
                if not output.interrupts:
                    return output.value
                given = await self._resume(output.interrupts[0].value, context)
        finally:
            self.checkpoints.drop(run_id)

    async def _load(self, saved: SavedRun, context: RunContext) -> None:
        try:
            self.checkpoints.load(saved.run_id, saved.graph)
            restore(saved, context)
        except Unreadable:
            await self._forget(saved.run_id, kept=True)
            raise

    async def _resume(
        self, calls: Sequence[Sequence[str]], context: RunContext, saved: SavedRun | None = None
    ) -> Command[Any]:
        run_id, loop = context.writer.run_id, asyncio.get_running_loop()
        since = loop.time()
        context.writer.flush()  # what is kept is all that was said
        seconds = self._seconds if saved is None else min(self._seconds, saved.expires_in)
        kept = saved is not None or await self._keep(calls, context, seconds)
        waiting = self._waiting[run_id] = _Waiting([PendingCall(*call) for call in calls], kept)
        try:
            for call in waiting.calls:
                context.writer.frame(Step(call.name, "approval_required", call.detail, call.call_id))
            if self._ends:
                waiting.suspend()
            await _answered(waiting, seconds)
        except asyncio.CancelledError:
            await self._forget(run_id, kept)
            raise
        finally:
            del self._waiting[run_id]
        await self._claim(run_id, waiting)
        context.budget.deadline += loop.time() - since  # a run's time is not used up by waiting for a person
        return Command(resume={"approved": waiting.approved})

    async def _claim(self, run_id: str, waiting: _Waiting) -> None:
        """Make sure that nobody else goes on with the run; or leave it to others."""
        if not waiting.kept:
            return
        if waiting.suspended:
            await self._store.release(run_id)
            raise Suspended
        if not await self._store.claim(run_id):
            raise Suspended

    async def _keep(self, calls: Sequence[Sequence[str]], context: RunContext, seconds: float) -> bool:
        """Have the run outlast this process. Where the database is away it waits in this one."""
        if context.kept is None:
            return False
        run_id = context.writer.run_id
        try:
            state = pack(context, calls, self.checkpoints.dump(run_id))
            await self._store.keep(run_id, state, seconds)
        except (StorageUnavailable, TypeError, ValueError) as error:
            log.warning("a run that waits for an approval is not kept", error=type(error).__name__)
            return False
        return True

    async def _forget(self, run_id: str, kept: bool) -> None:
        if kept:
            try:
                await self._store.claim(run_id)
            except StorageUnavailable:
                log.warning("a run that was stopped is still kept", run_id=run_id)


async def _answered(waiting: _Waiting, seconds: float) -> None:
    """Wait for all answers; what has none when the time is up is declined."""
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await waiting.over.wait()
    except TimeoutError:
        return
