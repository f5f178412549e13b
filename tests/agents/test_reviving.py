"""A run that waited is made again of what was kept of it; what cannot be used is let go."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from agents.checkpoints import Unreadable
from agents.reviving import facts_of, revive_all, revived
from agents.run import Ask, Run
from agents.saved_run import Manner, SavedRun, pack, unpack
from agents.state import Budget, RunContext
from agents.writer import RunWriter
from infrastructure.database.repositories.checkpoints import WaitingRun
from infrastructure.database.repositories.turns import BegunTurn
from infrastructure.errors import NotFound
from infrastructure.event_log.memory import MemoryEventLog
from services.knowledge.scope import SHARED_SCOPE, Scope
from services.personas import DEFAULT_PERSONA, Persona
from services.sessions import Session
from tests.agents.fakes import Counted, ScriptedModel, says

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BEGUN = BegunTurn(4, 2, 3, "Q?", "message", True, False, NOW)
STATE = {
    "version": 1, "run": {}, "seq": 3, "text": "", "rag_mode": "auto", "tools": ["a"], "budget": {},
    "dropped_markers": 0, "calls": [], "graph": "",
}  # fmt: skip


async def run_of(ask: Ask, begun: BegunTurn | None = BEGUN, session_id: str | None = "s") -> Run:
    writer = RunWriter("run", MemoryEventLog(), lambda: 0.0, Counted())
    return Run("run", Session(session_id, 5, 0.0), "Q?", writer, begun, "answer", ask, "anna")


async def test_a_run_comes_back_as_it_was_asked() -> None:
    asked = Ask("Q?", "1.2.3.4", "s", True, owner="anna", file_ids=("f",), rag_mode="hybrid", agent_id="a")
    facts = facts_of(await run_of(asked))
    ask, begun, answer_id = revived(orjson.loads(orjson.dumps(facts)))
    assert (ask, begun, answer_id) == (replace(asked, must_exist=True), BEGUN, "answer")


async def test_a_run_that_comes_back_does_not_rely_on_what_its_chat_had() -> None:
    """Files may have been given to it while the run waited; and an older version knows of no such field."""
    facts = facts_of(await run_of(Ask("Q?", "1.2.3.4", "s", True), replace(BEGUN, has_files=False, ahead=("r",))))
    assert facts is not None
    assert not {"has_files", "ahead"} & set(facts["begun"])
    _, begun, _ = revived(orjson.loads(orjson.dumps(facts)))
    assert (begun.has_files, begun.ahead) == (True, ())


async def test_what_keeps_nothing_is_not_kept() -> None:
    plain = Ask("Q?", "1.2.3.4", "s", True)
    assert facts_of(await run_of(plain)) is not None
    assert facts_of(await run_of(plain, begun=None)) is None
    assert facts_of(await run_of(plain, session_id=None)) is None
    assert facts_of(await run_of(replace(plain, model=ScriptedModel(says("x"))))) is not None


@pytest.mark.parametrize(
    ("persona", "scope", "model"),
    [
        (DEFAULT_PERSONA, SHARED_SCOPE, None),
        (
            Persona("a", "Be brief.\n“Да”", "openai/m", frozenset({"t", "u"}), None, "knowledge_only"),
            Scope(("", "anna", "n1"), frozenset({"f1", "s1"}), frozenset({"f1"})),
            ScriptedModel(says("x")),
        ),
        (Persona("a", tools=frozenset()), Scope(("anna",), frozenset()), None),
    ],
)
async def test_how_a_run_answers_is_kept_with_it(persona: Persona, scope: Scope, model: Any) -> None:
    context = RunContext(
        "Q?", (), "s", (await run_of(Ask("Q?", "1.2.3.4"))).writer, Budget(9e9, 5, 100), scope, persona=persona,
        tools=persona.tools, model=model,
    )  # fmt: skip
    saved = unpack("run", pack(context, [("c1", "t", "t {}")], b"graph"), 5.0)
    named = "openai/scripted-1" if model else None
    assert saved.manner == Manner(replace(persona, model=named), scope, named)
    assert (saved.tools, saved.graph) == (persona.tools, b"graph")


def test_what_was_kept_before_there_was_a_manner_is_read_and_what_has_a_broken_one_is_not() -> None:
    assert unpack("run", orjson.dumps(STATE), 5.0).manner is None
    for broken in ({}, [], "x", {"id": "a"}):
        with pytest.raises(Unreadable):
            unpack("run", orjson.dumps(STATE | {"manner": broken}), 5.0)


@pytest.mark.parametrize("facts", [{}, {"begun": {}}, {"begun": {"at": "never"}}, {"begun": {"at": NOW.isoformat()}}])
def test_facts_of_another_version_are_told_so(facts: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        revived(facts)


class Kept:
    """Two runs that wait, one of which cannot be read, and a runner that knows the chat of neither or of one."""

    def __init__(self, gone: bool) -> None:
        self._gone = gone
        self.claimed: list[str] = []
        self.revived: list[SavedRun] = []

    async def take(self) -> list[tuple[WaitingRun, float]]:
        return [(WaitingRun("good", orjson.dumps(STATE), NOW), 5.0), (WaitingRun("bad", b"?", NOW), 5.0)]

    async def claim(self, run_id: str) -> bool:
        self.claimed.append(run_id)
        return True

    async def revive(self, saved: SavedRun) -> None:
        if self._gone:
            raise NotFound("No such chat.")
        self.revived.append(saved)


@pytest.mark.parametrize(("gone", "claimed"), [(False, ["bad"]), (True, ["good", "bad"])])
async def test_each_is_gone_on_with_or_let_go(gone: bool, claimed: list[str]) -> None:
    kept = Kept(gone)
    assert await revive_all(kept, kept) == 2 - len(claimed)
    assert kept.claimed == claimed
    assert [(saved.run_id, saved.seq, saved.tools) for saved in kept.revived] == [("good", 3, {"a"})][
        : 2 - len(claimed)
    ]
