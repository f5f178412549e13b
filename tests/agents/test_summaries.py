"""Summaries by the model: made beside everything else, of what the history leaves out, and never in the way."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from agents import summaries as module
from agents.summaries import AT_ONCE, SHOWN_CHARS, Summaries, clean_summary, summarise_request
from infrastructure.errors import ProviderRejected, ProviderUnavailable, StorageUnavailable
from infrastructure.providers.types import Emit, ModelReply, ModelRequest, Usage
from services.sessions import Turn
from tests.agents import fakes
from tests.agents.fakes import Endless, ScriptedModel, extractive, fails, says

MAX_TOKENS = 50  # two of the turns below
SESSION = fakes.SESSION


def turn(number: int) -> Turn:
    return Turn(f"Question {number}?".ljust(40), f"Answer {number}.".ljust(40), "complete")


TURNS = [turn(number) for number in range(1, 8)]


class Desk:
    """Summaries, with what the model was asked and what was told of it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.used: list[tuple[str, str, Usage]] = []
        self.with_model(ScriptedModel(says("They spoke of Paris.")))

    def with_model(self, model: ScriptedModel, max_tokens: int = MAX_TOKENS, ahead: float = 0.0) -> Summaries:
        self.model = model
        self.summaries = Summaries(
            model, max_tokens, lambda name, how: self.calls.append((name, how)), lambda *used: self.used.append(used),
            ahead=ahead,
        )  # fmt: skip
        return self.summaries

    async def considered(self, turns: list[Turn], session: str = SESSION) -> None:
        self.summaries.consider(session, turns, "user:ada")
        await asyncio.gather(*self.summaries._tasks.values())

    def shown(self, number: int = -1) -> str:
        return self.model.requests[number].messages[1].content


@pytest_asyncio.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    yield desk
    await desk.summaries.aclose()


async def test_what_the_history_leaves_out_is_summed_up(desk: Desk) -> None:
    assert desk.summaries.of(SESSION, TURNS[:4]) == ""
    await desk.considered(TURNS[:4])
    assert desk.summaries.of(SESSION, TURNS[:4]) == "They spoke of Paris."
    assert "Question 1?" in desk.shown()
    assert "Answer 2." in desk.shown()
    assert "Question 3?" not in desk.shown()
    assert desk.calls == [("openai", "ok")]
    assert desk.used == [("user:ada", "scripted-1", Usage(10, 5))]
    assert desk.summaries.of(fakes.OTHER_SESSION, TURNS[:4]) == ""
    assert desk.summaries.of(None, TURNS[:4]) == ""


async def test_more_is_summed_up_than_has_to_be_so_that_the_next_answers_need_none(desk: Desk) -> None:
    desk.with_model(ScriptedModel(says("First."), says("Second.")), ahead=0.5)
    await desk.considered(TURNS[:4])
    assert "Question 3?" in desk.shown()
    assert "Question 4?" not in desk.shown()
    await desk.considered(TURNS[:5])
    assert len(desk.model.requests) == 1
    assert desk.summaries.of(SESSION, TURNS[:5]) == "First."
    await desk.considered(TURNS[:6])
    assert len(desk.model.requests) == 2


async def test_while_all_fits_nothing_is_asked(desk: Desk) -> None:
    await desk.considered(TURNS[:2])
    await desk.considered([])
    assert desk.model.requests == []


async def test_a_summary_goes_on_from_the_former_one(desk: Desk) -> None:
    desk.with_model(ScriptedModel(says("First."), says("Second.")))
    await desk.considered(TURNS[:4])
    await desk.considered(TURNS[:4])
    assert len(desk.model.requests) == 1
    await desk.considered(TURNS[:5])
    assert desk.shown().startswith("Earlier summary: First.")
    assert "Question 3?" in desk.shown()
    assert "Question 1?" not in desk.shown()
    assert desk.summaries.of(SESSION, TURNS[:5]) == "Second."


async def test_a_long_conversation_whose_beginning_is_held_no_more_keeps_its_summary(desk: Desk) -> None:
    desk.with_model(ScriptedModel(says("First."), says("Second."), says("Third.")))
    for last in (4, 5, 6):
        await desk.considered(TURNS[last - 4 : last])  # four turns are held
    assert desk.shown().startswith("Earlier summary: Second.")
    assert desk.summaries.of(SESSION, TURNS[2:6]) == "Third."


async def test_one_of_an_older_branch_is_not_shown_and_not_built_upon(desk: Desk) -> None:
    desk.with_model(ScriptedModel(says("First."), says("Other.")))
    await desk.considered(TURNS[:4])
    edited = [TURNS[0], turn(20), turn(21), turn(22)]
    assert desk.summaries.of(SESSION, edited) == ""
    await desk.considered(edited)
    assert "First." not in desk.shown()
    assert "Question 20?" in desk.shown()
    assert desk.summaries.of(SESSION, edited) == "Other."


def test_the_model_is_shown_the_conversation_as_data_and_no_more_than_a_part() -> None:
    request = summarise_request([Turn("q" * 5000, "a" * 5000, "complete")] * 100, "Former.")
    system, shown = request.messages
    assert (system.role, shown.role) == ("system", "user")
    assert "never an instruction" in system.content
    assert len(shown.content) < 25 * 2 * SHOWN_CHARS
    assert "q" * (SHOWN_CHARS + 1) not in shown.content
    assert request.max_tokens
    assert not request.tools


async def test_without_a_model_or_a_history_nothing_is_asked(desk: Desk) -> None:
    summaries = Summaries(extractive(), MAX_TOKENS, lambda name, how: desk.calls.append((name, how)))
    summaries.consider(SESSION, TURNS)
    desk.with_model(ScriptedModel(says("No.")), max_tokens=0)
    await desk.considered(TURNS)
    assert not summaries._tasks
    assert desk.model.requests == []


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (ProviderUnavailable("away"), [("openai", "provider_unavailable")]),
        (ProviderRejected("no"), [("openai", "provider_unavailable")]),
        (StorageUnavailable("away"), []),
        (RuntimeError("a fault"), []),
    ],
)
async def test_what_fails_leaves_the_former_summary_and_is_tried_again(
    desk: Desk, error: Exception, counted: list[tuple[str, str]]
) -> None:
    desk.with_model(ScriptedModel(says("First."), fails(error), says(" \n"), says("Second.")))
    await desk.considered(TURNS[:4])
    desk.calls.clear()
    with capture_logs() as logs:
        await desk.considered(TURNS[:5])
    assert desk.calls == counted
    assert "Question" not in str(logs)
    assert desk.summaries.of(SESSION, TURNS[:5]) == "First."
    await desk.considered(TURNS[:5])
    assert desk.summaries.of(SESSION, TURNS[:5]) == "First.", "nothing was said"
    await desk.considered(TURNS[:5])
    assert desk.summaries.of(SESSION, TURNS[:5]) == "Second."


async def test_a_model_that_takes_too_long_is_given_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.01)
    endless = Endless("Never")
    desk.with_model(ScriptedModel(endless))
    await desk.considered(TURNS)
    assert desk.calls == [("openai", "timeout")]
    assert endless.closed
    assert desk.summaries.of(SESSION, TURNS) == ""


class Crowd:
    """A model that counts who is asking at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.full, self.may_end = asyncio.Event(), asyncio.Event()

    async def __call__(self, _: ModelRequest, emit: Emit) -> ModelReply:
        self.now += 1
        self.most = max(self.most, self.now)
        if self.now == AT_ONCE:
            self.full.set()
        await self.may_end.wait()
        self.now -= 1
        return ModelReply("A summary.", "scripted-1")


async def test_only_so_many_are_made_at_once_wait_and_are_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 5)
    monkeypatch.setattr(module, "MOST_KEPT", 3)
    crowd = Crowd()
    summaries = desk.with_model(ScriptedModel(crowd))
    for number in (*range(7), 0):  # the first once more: its own is under way
        summaries.consider(f"session {number}", TURNS)
    await crowd.full.wait()
    crowd.may_end.set()
    await asyncio.gather(*summaries._tasks.values())
    assert crowd.most == AT_ONCE
    assert len(desk.model.requests) == 5
    kept = [number for number in range(7) if summaries.of(f"session {number}", TURNS)]
    assert kept == [2, 3, 4]


async def test_a_conversation_that_is_gone_is_forgotten_also_while_it_is_summed_up(desk: Desk) -> None:
    await desk.considered(TURNS)
    desk.summaries.forget(SESSION)
    assert desk.summaries.of(SESSION, TURNS) == ""
    endless = Endless("Never")
    summaries = desk.with_model(ScriptedModel(endless))
    summaries.consider(SESSION, TURNS)
    await endless.streaming.wait()
    task = summaries._tasks[SESSION]
    summaries.forget(SESSION)
    await asyncio.wait([task])
    assert endless.closed
    assert summaries.of(SESSION, TURNS) == ""


async def test_closing_gives_up_what_is_under_way(desk: Desk) -> None:
    endless = Endless("Never")
    summaries = desk.with_model(ScriptedModel(endless))
    for number in range(4):
        summaries.consider(f"session {number}", TURNS)
    await endless.streaming.wait()
    await summaries.aclose()
    assert endless.closed
    assert not summaries._tasks


def test_a_summary_is_cut_at_its_bound() -> None:
    assert clean_summary("  A\0B \n") == "AB"
    assert len(clean_summary("x" * 9000)) == module.MAX_CHARS
