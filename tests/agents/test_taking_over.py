"""Runs that another process left by dying: begun anew, or ended; and chats that several processes answer in."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from agents.run import Ask
from agents.taking_over import FRAMES_OF_A_HOLDER
from infrastructure.database.repositories.workers import LostRun
from infrastructure.errors import Conflict, NotFound, ProviderUnavailable, StorageUnavailable
from infrastructure.event_log.memory import MemoryEventLog
from services.leases import Leases
from tests.agents.fakes import SESSION, Endless, ScriptedModel, Service, fails, found, passage, says

PARIS = found(passage())
QUESTION = "What is the capital of France?"


class Elsewhere(MemoryEventLog):
    """A log that others write to as well: what a process that died has said is here."""

    async def take_over(self, run_id: str, fence: int) -> int:
        if run_id not in self._runs:
            raise NotFound("No such run.")
        if self._runs[run_id].finished_at is not None:
            raise Conflict("It has ended.")
        return self.last_seq(run_id)


def now() -> datetime:
    return datetime.now(UTC)


async def lost(it: Service, worker: str = "new") -> list[LostRun]:
    """What a process that begins now finds unfinished."""
    return await Leases(it.database, worker, seconds=6, clock=now).take_lost()


async def dead(*pieces: str, **fields: Any) -> tuple[Service, str, MemoryEventLog]:
    """A process that said `pieces`, and died; its run, and its log."""
    log = Elsewhere()
    it = Service(ScriptedModel(stuck := Endless(*pieces)), PARIS, log=log, worker="dead")
    run = await it.runner.start(Ask(QUESTION, "caller", SESSION, True, **fields))
    await stuck.streaming.wait()
    it.runner._active[run.id].lost = True  # whatever it does from here on, nobody hears of it
    return it, run.id, log


def frames(log: MemoryEventLog, run_id: str, after: int = 0) -> list[dict[str, Any]]:
    return [json.loads(entry.data) for entry in log._runs[run_id].entries if entry.seq > after]


async def test_a_dead_processs_run_is_begun_anew_behind_its_frames() -> None:
    before, run_id, log = await dead("Par", "don? ")
    said = log.last_seq(run_id)
    it = Service(ScriptedModel(says("Paris.")), PARIS, log=log, url=before.url, worker="new", ids=count(100))
    for run in await lost(it):
        await it.runner.take_over.begin_anew(run)
    end = json.loads((await log.terminal(run_id)).data)
    told = frames(log, run_id, said)
    assert (told[0]["status"], told[0]["seq"]) == ("restarted", said + 1)
    assert [frame["seq"] for frame in told] == list(range(said + 1, end["seq"] + 1))
    assert (end["type"], end["answer"], log.answer(run_id)) == ("complete", "Paris.", "Paris.")
    stored = await it.conversations.run(run_id)
    assert stored is not None
    assert (stored.outcome, stored.answer, stored.last_seq) == ("complete", "Paris.", end["seq"])
    assert it.counted.taken_over == ["begun_anew"]
    assert await lost(it, "another") == []


async def test_frames_that_died_with_their_process_are_jumped_over() -> None:
    before, run_id, _ = await dead("Pardon? ")
    it = Service(ScriptedModel(says("Paris.")), PARIS, url=before.url, worker="new", ids=count(100))
    for run in await lost(it):
        await it.runner.take_over.begin_anew(run)
    await it.log.terminal(run_id)
    batches = [batch async for batch in it.log.read(run_id, 2)]
    assert batches[0].gap is not None
    assert (batches[0].gap.first, batches[0].gap.last, batches[0].gap.answer) == (3, FRAMES_OF_A_HOLDER, "")


async def test_a_run_that_was_begun_often_enough_ends_as_interrupted_with_what_it_said() -> None:
    before, run_id, log = await dead("Par", "don? ")
    it = Service(ScriptedModel(says("Paris.")), PARIS, log=log, url=before.url, worker="new", attempts=1)
    for run in await lost(it):
        await it.runner.take_over.begin_anew(run)
    end = json.loads((await log.terminal(run_id)).data)
    assert (end["type"], end["code"], end["retryable"]) == ("error", "interrupted", True)
    stored = await it.conversations.run(run_id)
    assert stored is not None
    assert (stored.outcome, stored.answer) == ("interrupted", log.answer(run_id))
    assert stored.answer.startswith("Par")
    assert it.counted.taken_over == ["interrupted"]


async def test_a_run_that_had_its_last_frame_but_was_not_kept_is_kept_as_interrupted() -> None:
    before, run_id, log = await dead("Pardon? ")
    before.runner._active[run_id].lost = False
    await before.runner.cancel(run_id)
    async with before.database.write() as session:
        from sqlalchemy import text

        await session.execute(text("DELETE FROM chat_message WHERE role = 'assistant'"))
        await session.execute(text("UPDATE run SET outcome = NULL"))
    it = Service(ScriptedModel(says("Paris.")), PARIS, log=log, url=before.url, worker="new")
    for run in await lost(it):
        await it.runner.take_over.begin_anew(run)
    stored = await it.conversations.run(run_id)
    assert stored is not None
    assert stored.outcome == "interrupted"


async def test_a_run_is_begun_anew_as_it_was_asked() -> None:
    before, run_id, log = await dead("x ", rag_mode="hybrid", temperature=0.0, max_tokens=7, instructions="Be brief.")
    model = ScriptedModel(says("Paris."))
    it = Service(model, PARIS, log=log, url=before.url, worker="new", ids=count(100))
    for run in await lost(it):
        await it.runner.take_over.begin_anew(run)
    await log.terminal(run_id)
    request = model.requests[0]
    assert (request.temperature, request.max_tokens) == (0.0, 7)
    assert any("Be brief." in message.content for message in request.messages)
    assert any(QUESTION in message.content for message in request.messages)


async def test_a_run_that_another_version_asked_for_ends_as_interrupted() -> None:
    before, run_id, log = await dead("Pardon? ")
    it = Service(ScriptedModel(says("never")), PARIS, log=log, url=before.url, worker="new", ids=count(100))
    for run in await lost(it):
        await it.runner.take_over.begin_anew(replace(run, asked={"shape": "of later"}))
    end = json.loads((await log.terminal(run_id)).data)
    assert (end["type"], end["code"]) == ("error", "interrupted")


async def test_what_the_dead_process_still_keeps_is_nothing() -> None:
    before, run_id, log = await dead("Pardon? ")
    before.runner._active[run_id].lost = False  # it was not dead but slow
    it = Service(ScriptedModel(says("Paris.")), PARIS, log=log, url=before.url, worker="new", ids=count(100))
    runs = await lost(it)
    before.runner.stop(run_id)
    await asyncio.gather(*before.runner._tasks())
    assert await it.conversations.ended_of([run_id]) == set()
    assert frames(log, run_id)[-1]["type"] != "status", "nothing was said of it"
    for run in runs:
        await it.runner.take_over.begin_anew(run)
    assert json.loads((await log.terminal(run_id)).data)["answer"] == "Paris."


# Several processes in one chat


class Party:
    """Processes over one store and one log, that tell each other."""

    def __init__(self) -> None:
        self.log = Elsewhere()
        self.told: list[tuple[str, Mapping[str, str]]] = []
        self.members: list[Service] = []
        self._ids = count(1)

    def join(self, *turns: Any, **fields: Any) -> Service:
        url = self.members[0].url if self.members else None
        it = Service(
            ScriptedModel(*turns), PARIS, log=self.log, url=url, worker=f"w{len(self.members)}", ids=self._ids,
            tell_others=self.tell, **fields,
        )  # fmt: skip
        self.members.append(it)
        return it

    def tell(self, kind: str, data: Mapping[str, str]) -> None:
        self.told.append((kind, data))
        for it in self.members:
            if kind == "cancel":
                it.runner.stop(data["run_id"])
            elif kind == "abandon":
                it.runner.forget(data["session_id"])
            else:
                it.runner.forget_owner(data["owner"])


async def test_questions_of_one_chat_are_answered_in_their_order_wherever_they_come() -> None:
    party = Party()
    first, second = party.join(stuck := Endless("One ")), party.join(says("Two."))
    one = await first.start("One?")
    await stuck.streaming.wait()
    two = await second.start("Two?")
    assert frames(party.log, two.id)[0]["status"] == "queued"
    await second.runner.cancel(one.id)
    assert stuck.closed
    end = json.loads((await party.log.terminal(two.id)).data)
    assert end["answer"] == "Two."
    history = second.sessions.find(SESSION)
    assert history is not None
    assert [turn.question for turn in history.turns] == ["One?", "Two?"]


@pytest.mark.parametrize("fields", [{"edits": "x"}, {}])
async def test_what_needs_a_chat_to_itself_is_refused_while_another_process_answers(fields: dict[str, Any]) -> None:
    party = Party()
    concurrency: Any = "queue" if fields else "reject"
    first = party.join(stuck := Endless("One "), concurrency=concurrency)
    second = party.join(says("Two."), concurrency=concurrency)
    one = await first.start("One?")
    await stuck.streaming.wait()
    with pytest.raises(Conflict):
        await second.runner.start(Ask("Two?", "caller", SESSION, True, must_exist=True, **fields))
    await first.runner.cancel(one.id)


async def test_a_question_interrupts_one_that_another_process_answers() -> None:
    party = Party()
    first = party.join(stuck := Endless("One "), concurrency="interrupt")
    second = party.join(says("Two."), concurrency="interrupt")
    one = await first.start("One?")
    await stuck.streaming.wait()
    two = await second.start("Two?")
    assert json.loads((await party.log.terminal(one.id)).data)["status"] == "cancelled"
    assert json.loads((await party.log.terminal(two.id)).data)["answer"] == "Two."


async def test_a_chat_or_an_account_that_goes_stops_its_runs_everywhere() -> None:
    party = Party()
    first, second = party.join(stuck := Endless("One ")), party.join(says("Two."))
    one = await first.start("One?")
    await stuck.streaming.wait()
    second.runner.abandon(SESSION)
    assert json.loads((await party.log.terminal(one.id)).data)["status"] == "cancelled"
    second.runner.abandon_owner("anna")
    assert [kind for kind, _ in party.told] == ["abandon", "abandon_owner"]


async def test_a_run_that_another_process_has_taken_ends_here_without_a_word() -> None:
    party = Party()
    it = party.join(stuck := Endless("One "))
    run = await it.start("One?")
    await stuck.streaming.wait()
    said = party.log.last_seq(run.id)
    tasks = it.runner._tasks()
    it.runner.lose(run.id)
    await asyncio.gather(*tasks)
    assert (stuck.closed, party.log.last_seq(run.id)) == (True, said)
    assert await it.conversations.ended_of([run.id]) == set()


async def test_a_process_that_ends_leaves_what_it_cannot_finish_to_the_others() -> None:
    party = Party()
    first, second = party.join(stuck := Endless("One ")), party.join(says("Done."))
    one = await first.start("One?")
    await stuck.streaming.wait()
    await first.runner.drain(0)
    assert stuck.closed
    for run in await lost(second, "w1"):
        await second.runner.take_over.begin_anew(run)
    assert json.loads((await party.log.terminal(one.id)).data)["answer"] == "Done."


async def test_a_line_goes_on_by_the_stores_word_where_a_run_cannot_be_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agents.places.LOOK_AGAIN_SECONDS", 0.01)
    party = Party()
    first = party.join(fails(ProviderUnavailable("away"), "One "))
    second = party.join(says("Two."))
    second.runner._places._log = away = Elsewhere()  # it never hears of the other's runs
    looked = asyncio.Event()

    async def find(run_id: str) -> str | None:
        looked.set()
        raise StorageUnavailable("away")

    away.find = find  # type: ignore[method-assign]  # what a log says that cannot be reached
    gate = asyncio.Event()
    first.searching_waits = gate
    await first.start("One?")
    two = await second.start("Two?")
    await looked.wait()
    gate.set()
    assert json.loads((await party.log.terminal(two.id)).data)["answer"] == "Two."
