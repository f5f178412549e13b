"""A run that is fetched from the store ends as it ended: with the same frame, under the same number."""

import json
from dataclasses import replace
from typing import Any

import pytest

from agents.events import is_terminal
from agents.recall import _terminal, terminal_entry
from infrastructure.database.repositories.conversations import StoredRun
from infrastructure.errors import (
    NotFound,
    ProviderProtocolError,
    ProviderRejected,
    ProviderUnavailable,
    ShuttingDown,
    StorageUnavailable,
)
from infrastructure.event_log.memory import MemoryEventLog
from tests.agents.fakes import (
    SESSION,
    Endless,
    ScriptedModel,
    Service,
    Told,
    extractive,
    fails,
    found,
    passage,
    says,
)
from tests.infrastructure.database.turning import new_turn

QUESTION = "What is the capital of France?"
PARIS = found(passage(page=3, section="Cities"))
STORED = StoredRun(
    "r", SESSION, None, "q", "a", "Partial text", None, None, None, None, None, None, (), None, None, None
)  # fmt: skip


async def recalled(it: Service, run_id: str) -> list[dict[str, Any]]:
    """What a process that never saw the run reads of it from the start."""
    log = MemoryEventLog()
    await it.runner._keeper.recall(run_id, log)
    frames: list[dict[str, Any]] = []
    async for batch in log.read(run_id):
        if batch.gap is not None:
            frames.append({"type": "snapshot", "answer": batch.gap.answer, "seq": batch.gap.last})
        frames += [json.loads(entry.data) for entry in batch.entries]
    return frames


async def both(it: Service) -> tuple[Told, dict[str, Any]]:
    """A run as it was told, and its recalled last frame; checked for what holds of every run."""
    run = await it.start(QUESTION)
    told = await it.told(run)
    snapshot, last = await recalled(it, run.id)
    assert (snapshot["type"], snapshot["answer"], snapshot["seq"]) == ("snapshot", told.text, told.end["seq"] - 1)
    assert last["seq"] == told.end["seq"]
    return told, last


def without_time(frame: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in frame.items() if name != "timestamp"}


async def test_a_complete_answer_is_recalled_word_for_word_with_its_citations() -> None:
    it = Service(ScriptedModel(says("Paris is the capital ", "of France. [1]")), PARIS)
    told, last = await both(it)
    assert last["type"] == "complete"
    assert last["citations"][0]["page"] == 3
    assert without_time(last) == without_time(told.end)


async def test_an_answer_of_the_extractive_model_is_recalled() -> None:
    told, last = await both(Service(extractive(), found(passage())))
    assert "page" not in last["citations"][0]
    assert without_time(last) == without_time(told.end)


async def test_that_nothing_was_found_is_recalled() -> None:
    told, last = await both(Service(extractive(), found(confidence=0.0)))
    assert (last["type"], last["processing_stage"]) == ("complete", "no_relevant_answer")
    assert without_time(last) == without_time(told.end)


async def test_a_stopped_run_is_recalled_with_what_it_had_said() -> None:
    model = Endless("Paris is the capital")
    it = Service(ScriptedModel(model), PARIS)
    run = await it.start(QUESTION)
    await model.streaming.wait()
    await it.runner.cancel(run.id)
    told = await it.told(run)
    snapshot, last = await recalled(it, run.id)
    assert snapshot["answer"] == told.text == "Paris is the capital"
    assert without_time(last) == without_time(told.end)
    assert last["status"] == "cancelled"


@pytest.mark.parametrize(
    "error",
    [
        ProviderUnavailable("The model is away."),
        ProviderProtocolError("The model sent what it must not."),
        ProviderRejected("The model refuses."),
        ShuttingDown("The service is restarting."),
        ValueError("of our own"),
    ],
)
@pytest.mark.parametrize("pieces", [(), ("Paris is ", "the")])
async def test_a_failed_run_is_recalled_with_its_error(error: Exception, pieces: tuple[str, ...]) -> None:
    told, last = await both(Service(ScriptedModel(fails(error, *pieces)), PARIS, fall_back=False))
    assert last["type"] == "error"
    assert last.get("answer", "") == "".join(pieces)
    same = {"code", "error", "message", "processing_stage", "run_id", "seq", "type"}
    assert {name: last[name] for name in same} == {name: told.end[name] for name in same}


async def test_a_run_that_is_under_way_elsewhere_is_not_recalled() -> None:
    it = Service(extractive(), PARIS)
    turn = new_turn(SESSION)
    await it.conversations.begin(turn)
    with pytest.raises(StorageUnavailable):
        await recalled(it, turn.run_id)


@pytest.mark.parametrize("run_id", ["00000000-0000-7000-8000-0000000000ff", "no uuid", ""])
async def test_a_run_that_never_was_is_not_found(run_id: str) -> None:
    with pytest.raises(NotFound, match=r"^No such run\.$"):
        await recalled(Service(extractive(), PARIS), run_id)


async def test_a_recalled_run_stays_with_its_owner() -> None:
    it = Service(extractive(), PARIS)
    run = await it.start(QUESTION)
    await it.told(run)
    log = MemoryEventLog()
    assert await it.runner._keeper.recall(run.id, log) is None
    await it.runner._keeper.recall(run.id, log)  # a second reader at the same time
    assert log.owner(run.id) is None


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        ("complete", "complete"),
        ("no_relevant_answer", "complete"),
        ("cancelled", "status"),
        ("interrupted", "error"),
        ("storage_unavailable", "error"),
        (None, "error"),
    ],
)
def test_every_outcome_has_its_last_frame_also_where_little_was_kept(outcome: str | None, kind: str) -> None:
    run = replace(STORED, outcome=outcome)
    assert is_terminal(_terminal(run))
    entry = terminal_entry(run, 1.5)
    frame = json.loads(entry.data)
    assert (frame["type"], entry.seq, entry.terminal, frame["timestamp"]) == (kind, 2, True, 1.5)
    assert frame["run_id"] == "r"
