"""A tool with side effects runs when a person has said so: now, later, or in another process."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from agents.approvals import Approvals, PendingCall, Suspended, pending_call
from agents.checkpoints import Unreadable
from agents.finding import Finder
from agents.generation import Generation
from agents.graph import GraphSettings, _build
from agents.lean import lean
from agents.saved_run import SavedRun, unpack
from agents.state import Budget, Outcome, RunContext
from agents.toolbox import Toolbox
from agents.tools.base import Arguments, Tool, ToolResult, make_tool
from agents.writer import RunWriter
from infrastructure.database.engine import Database, open_engine
from infrastructure.database.repositories.turns import NewTurn
from infrastructure.errors import NotFound, StorageUnavailable
from infrastructure.event_log.memory import MemoryEventLog
from infrastructure.providers.types import Message, ToolCall
from services.checkpoints import Checkpoints
from services.conversations import Conversations
from services.knowledge.citation_check import CitationCheck
from services.knowledge.grounding import Grounder
from services.knowledge.scope import Scope
from services.knowledge.search import Retrieval
from services.knowledge.text import TextAnalysis
from tests.agents.fakes import Counted, ScriptedModel, Turn, call, calls, extractive, found, new_database, passage, says

CONFIG = {"recursion_limit": 20}


class Note(Arguments):
    text: str


@dataclass
class World:
    """A process: its approvals over a database that others share, a graph, and what its tools have done."""

    database: Database
    seconds: float = 60.0
    done: list[str] = field(default_factory=list)
    log: MemoryEventLog = field(default_factory=MemoryEventLog)

    def __post_init__(self) -> None:
        self.store = self._store()
        self.approvals = Approvals(self.store, seconds=self.seconds)

    def _store(self) -> Checkpoints:
        return Checkpoints(self.database, uuid4().hex, clock=lambda: datetime.now(UTC))

    def graph(self, *turns: Turn) -> Any:
        async def write(note: Note, scope: Scope) -> ToolResult:
            self.done.append(f"wrote {note.text}")
            return ToolResult("Written.")

        async def look(note: Note, scope: Scope) -> ToolResult:
            self.done.append(f"looked {note.text}")
            return ToolResult("Seen.")

        self.model = ScriptedModel(*turns)
        tools: list[Tool] = [
            make_tool("write", "Writes.", Note, write, side_effects=True), make_tool("look", "Looks.", Note, look)
        ]  # fmt: skip

        async def search(query: str, limit: int, scope: Scope) -> Retrieval:
            return found(passage())

        async def whole(documents: Any, max_chars: int) -> Any:
            return (), True

        self.changes = 0
        finder = Finder(search, whole, 6, 10_000, reads_whole=True)
        built = _build(
            finder.find, Generation(self.model, extractive(), Toolbox(tools), True), Grounder(TextAnalysis()).ground,
            CitationCheck(self.database, self), GraphSettings(0.8, 0.5),
        )  # fmt: skip
        return lean(built.compile(checkpointer=self.approvals.checkpoints))

    def context(self, run_id: str, *, kept: bool = True) -> RunContext:
        self.log.open(run_id, None)
        writer = RunWriter(run_id, self.log, lambda: 0.0, Counted())
        budget = Budget(asyncio.get_running_loop().time() + 60, 5, 1000)
        return RunContext("Q?", (), "s", writer, budget, kept={"question": "Q?"} if kept else None)

    async def begin(self, run_id: str, *turns: Turn, kept: bool = True) -> asyncio.Task[Outcome]:
        """Start a run, and wait until it waits."""
        self.running = self.context(run_id, kept=kept)
        task = asyncio.create_task(self.run(self.running, *turns))
        await self.asked(run_id)
        return task

    async def run(self, context: RunContext, *turns: Turn, saved: SavedRun | None = None) -> Outcome:
        result = await self.approvals.run(self.graph(*turns), {"exchange": ()}, CONFIG, context, saved)
        outcome: Outcome = result["outcome"]
        return outcome

    async def asked(self, run_id: str) -> dict[str, Any]:
        """The first call that waits, as it is told."""
        async with asyncio.timeout(30):
            async for batch in self.log.read(run_id):
                for entry in batch.entries:
                    frame: dict[str, Any] = json.loads(entry.data)
                    if frame.get("state") == "approval_required":
                        return frame
        raise AssertionError("it did not ask")

    def steps(self, run_id: str) -> list[tuple[str, str]]:
        entries = self.log._runs[run_id].entries
        frames = [json.loads(entry.data) for entry in entries]
        return [(f["name"], f["state"]) for f in frames if f["type"] == "step" and f["name"] != "retrieve"]

    async def left(self) -> list[SavedRun]:
        """What a process that begins now takes up."""
        return [unpack(run.run_id, run.state, seconds) for run, seconds in await self._store().take()]


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    database = Database(open_engine(new_database()))
    yield database
    await database.close()


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


@pytest.fixture
async def run_id(database: Database) -> str:
    """A run of a chat that is there."""
    return await new_run(database)


async def new_run(database: Database) -> str:
    conversations = Conversations(database, clock=lambda: datetime.now(UTC))
    ids = [str(uuid4()) for _ in range(4)]
    await conversations.begin(NewTurn(ids[0], None, "Q?", ids[1], ids[2], ids[3], "w", datetime.now(UTC)))
    await conversations.aclose()
    return ids[1]


def writing(*texts: str, saying: str = "") -> Turn:
    return calls(*(call("write", f"c{n}", text=text) for n, text in enumerate(texts, 1)), saying=saying)


async def test_an_approved_call_is_made_once_and_the_answer_goes_on(world: World, run_id: str) -> None:
    task = await world.begin(run_id, writing("a", saying="Let me write."), says("Done [1]."))
    frame = await world.asked(run_id)
    assert (frame["name"], frame["call_id"], frame["detail"]) == ("write", "c1", 'write {"text": "a"}')
    assert world.done == []
    world.approvals.answer(run_id, "c1", True)
    outcome = await task
    assert world.done == ["wrote a"]
    assert outcome.answer == "Let me write.\n\nDone [1]."
    assert world.steps(run_id) == [("write", "approval_required"), ("write", "started"), ("write", "finished")]
    assert world.approvals.checkpoints.held == 0
    assert await world.left() == []


async def test_a_declined_call_is_not_made_and_the_model_is_told(world: World, run_id: str) -> None:
    task = await world.begin(run_id, writing("a"), says("As you wish."))
    world.approvals.answer(run_id, "c1", False)
    await task
    assert world.done == []
    assert "declined" in world.model.requests[-1].messages[-1].content
    assert world.steps(run_id) == [("write", "approval_required"), ("write", "failed")]


async def test_a_call_that_nobody_answers_is_declined_when_its_time_is_up(database: Database, run_id: str) -> None:
    world = World(database, seconds=0.01)
    outcome = await world.run(world.context(run_id), writing("a"), says("Not done."))
    assert world.done == []
    assert outcome.answer == "Not done."


async def test_of_several_calls_each_is_answered_by_itself_and_reading_ones_are_not_asked_for(
    world: World, run_id: str
) -> None:
    both = calls(call("write", "c1", text="a"), call("look", "c2", text="b"), call("write", "c3", text="c"))
    task = await world.begin(run_id, both, says("Done."))
    world.approvals.answer(run_id, "c3", True)
    assert not world.approvals.waits(run_id, "c3")
    assert world.approvals.waits(run_id, "c1")
    assert world.done == [], "nothing is done before all are answered"
    world.approvals.answer(run_id, "c1", False)
    await task
    assert world.done == ["looked b", "wrote c"]


async def test_an_answer_counts_once_and_only_for_what_waits(world: World, run_id: str) -> None:
    task = await world.begin(run_id, writing("a", "b"), says("Done."))
    world.approvals.answer(run_id, "c1", False)
    for wrong in ((run_id, "c1"), (run_id, "nothing"), ("another", "c1")):
        with pytest.raises(NotFound):
            world.approvals.answer(*wrong, True)
    world.approvals.answer(run_id, "c2", True)
    await task
    assert world.done == ["wrote b"]
    with pytest.raises(NotFound):
        world.approvals.answer(run_id, "c2", True)


async def test_calls_of_one_id_are_told_apart_so_that_one_answer_is_not_for_both(world: World, run_id: str) -> None:
    same = calls(call("write", "c1", text="harmless"), call("write", "c1", text="harmful"))
    task = await world.begin(run_id, same, says("Done."))
    world.approvals.answer(run_id, "c1", True)
    with pytest.raises(NotFound):
        world.approvals.answer(run_id, "c1", True)
    world.approvals.answer(run_id, "c1#2", False)
    await task
    assert world.done == ["wrote harmless"]


async def test_an_id_that_a_later_round_uses_again_is_another_call(world: World, run_id: str) -> None:
    task = await world.begin(run_id, writing("a"), writing("b"), says("Done."))
    world.approvals.answer(run_id, "c1", True)
    async with asyncio.timeout(30):
        while not world.approvals.waits(run_id, "c1#2"):  # noqa: ASYNC110  each turn of the loop is one of the run's
            await asyncio.sleep(0)
    with pytest.raises(NotFound):
        world.approvals.answer(run_id, "c1", True)
    world.approvals.answer(run_id, "c1#2", True)
    await task
    assert world.done == ["wrote a", "wrote b"]


async def test_nobody_is_asked_for_a_call_that_would_not_run(world: World, run_id: str) -> None:
    wrong = calls(call("write", "c1", canary=1), call("wrote", "c2"))
    outcome = await world.run(world.context(run_id), wrong, says("Sorry."))
    assert outcome.answer == "Sorry."
    assert [state for _, state in world.steps(run_id)] == ["started", "failed", "started", "failed"]


async def test_waiting_uses_up_none_of_a_runs_own_time(world: World, run_id: str) -> None:
    task = await world.begin(run_id, writing("a"), says("Done."))
    world.running.budget.deadline -= 60 - 1.0  # so much is left of it
    await asyncio.sleep(1.1)
    world.approvals.answer(run_id, "c1", True)
    assert (await task).finish_reason == "stop"
    assert world.done == ["wrote a"]


async def test_a_run_that_is_stopped_while_it_waits_leaves_nothing_behind(world: World, run_id: str) -> None:
    task = await world.begin(run_id, writing("a"), says("Done."))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.done == []
    assert world.approvals.waiting == ()
    assert world.approvals.checkpoints.held == 0
    assert await world.left() == []


async def test_after_a_crash_another_process_asks_again_and_goes_on(
    world: World, database: Database, run_id: str
) -> None:
    first = await world.begin(run_id, writing("a", saying="Let me write."), says("never"))
    after = World(database)
    saved = (await after.left())[0]
    assert (saved.run_id, saved.text, saved.run) == (run_id, "Let me write.", {"question": "Q?"})
    context = after.context(run_id)
    task = asyncio.create_task(after.run(context, says("Done [1]."), saved=saved))
    assert (await after.asked(run_id))["detail"] == 'write {"text": "a"}'
    after.approvals.answer(run_id, "c1", True)
    outcome = await task
    assert after.done == ["wrote a"]
    assert [citation.id for citation in outcome.citations] == [], "its document is not there any more"
    assert context.budget.steps_used == 1
    assert context.budget.calls[("write", '{"text": "a"}')] == 1
    assert after.model.requests[0].messages[-1] == Message("tool", "Written.", tool_call_id="c1")
    world.approvals.answer(run_id, "c1", True)  # had the first process not died but slept
    with pytest.raises(Suspended):
        await first
    assert world.done == [], "what one process has claimed no other does"


async def test_a_process_that_ends_in_order_leaves_its_run_to_another(
    world: World, database: Database, run_id: str
) -> None:
    task = await world.begin(run_id, writing("a"), says("never"))
    world.approvals.suspend()
    with pytest.raises(Suspended):
        await task
    assert [saved.run_id for saved in await World(database).left()] == [run_id]


async def test_a_run_that_comes_to_wait_while_the_process_ends_is_left_too(world: World, run_id: str) -> None:
    world.approvals.suspend()
    with pytest.raises(Suspended):
        await world.run(world.context(run_id), writing("a"), says("never"))
    assert [saved.run_id for saved in await world.left()] == [run_id]


async def test_a_run_that_is_not_kept_goes_on_waiting_while_the_process_ends(world: World) -> None:
    task = await world.begin("unkept", writing("a"), says("Done."), kept=False)
    world.approvals.suspend()
    world.approvals.answer("unkept", "c1", True)
    await task
    assert world.done == ["wrote a"]


async def test_what_another_version_kept_is_not_kept_for_ever(world: World, database: Database, run_id: str) -> None:
    task = await world.begin(run_id, writing("a"), says("never"))
    world.approvals.suspend()
    await asyncio.wait([task])
    after = World(database)
    saved = replace((await after.left())[0], graph=b"\x80")
    with pytest.raises(Unreadable):
        await after.run(after.context(run_id), says("never"), saved=saved)
    assert await after.left() == []


async def test_the_time_to_answer_is_not_longer_for_a_restart(world: World, database: Database, run_id: str) -> None:
    task = await world.begin(run_id, writing("a"), says("never"))
    world.approvals.suspend()
    await asyncio.wait([task])
    after = World(database, seconds=1e9)
    saved = (await after.left())[0]
    assert 0 < saved.expires_in <= 60


async def test_a_run_that_is_not_kept_waits_all_the_same_and_is_nowhere(world: World) -> None:
    task = await world.begin("unkept", writing("a"), says("Done."), kept=False)
    assert await world.left() == []
    world.approvals.answer("unkept", "c1", True)
    await task
    assert world.done == ["wrote a"]


class Away:
    """A store whose database is away; `later`: once a run is kept."""

    def __init__(self, later: bool) -> None:
        self._later = later

    async def keep(self, run_id: str, state: bytes, expires_in: float) -> None:
        if not self._later:
            raise StorageUnavailable("away")

    async def claim(self, run_id: str) -> bool:
        raise StorageUnavailable("away")

    async def release(self, run_id: str) -> None:
        raise AssertionError("nothing is kept")


async def test_where_a_run_cannot_be_kept_it_waits_in_this_process(world: World, run_id: str) -> None:
    world.approvals = Approvals(Away(later=False))
    task = await world.begin(run_id, writing("a"), says("Done."))
    world.approvals.answer(run_id, "c1", True)
    await task
    assert world.done == ["wrote a"]


async def test_what_cannot_be_claimed_is_not_run(world: World, run_id: str) -> None:
    world.approvals = Approvals(Away(later=True))
    task = await world.begin(run_id, writing("a"), says("never"))
    world.approvals.answer(run_id, "c1", True)
    with pytest.raises(StorageUnavailable):
        await task
    assert world.done == []


async def test_a_stop_while_the_database_is_away_is_a_stop(world: World, run_id: str) -> None:
    world.approvals = Approvals(Away(later=True))
    task = await world.begin(run_id, writing("a"), says("never"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "state", [b"", b"[]", b"{}", b'{"version": 0}', b'{"version": 1, "tools": null, "graph": "eA=="}']
)
def test_what_another_version_kept_is_told_so(state: bytes) -> None:
    with pytest.raises(Unreadable):
        unpack("run", state, 1.0)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80", b"\x01"])
def test_a_checkpoint_of_another_version_is_told_so(data: bytes) -> None:
    with pytest.raises(Unreadable):
        Approvals(Away(later=False)).checkpoints.load("run", data)


def test_what_a_person_is_shown_is_bounded() -> None:
    shown = pending_call("c1", ToolCall("c1", "write", "x" * 10_000))
    assert shown == PendingCall("c1", "write", f"write {'x' * 493}…")
    assert len(shown.detail) == 500
