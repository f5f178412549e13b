"""Which answers are kept to be said again, and to whom they are said."""

from dataclasses import replace
from typing import Any

import pytest

from agents.cached import FAILED, of_knowledge_alone
from agents.policies import is_first_said, worth_repeating
from agents.runner import Ask
from agents.tools.base import Arguments, Tool, ToolResult, make_tool
from infrastructure.errors import ProviderUnavailable, ToolFailed
from infrastructure.providers.types import Message, ToolCall, Usage
from services.answer_cache import AnswerCache
from services.knowledge.scope import SHARED_SCOPE, Scope
from services.personas import Persona
from services.sessions import Turn
from tests.agents.fakes import ScriptedModel, Service, Told, calls, extractive, fails, found, match, passage, says

QUESTION = "What is the capital of France?"
PARIS = "Paris is the capital of France. [1]"


async def one(left: str, right: str) -> float:
    return 1.0


def cache() -> AnswerCache:
    return AnswerCache(60, one, lambda: 0.0)


async def twice(model: Any, *, knowledge: Any = None, **options: Any) -> tuple[Told, Told]:
    service = Service(model, knowledge or found(passage()), cache=cache(), **options)
    return await service.ask(QUESTION, None), await service.ask(QUESTION, None)


def is_cached(told: Told) -> bool:
    return told.end.get("cached", False) is True


async def test_an_answer_is_said_again_without_search_or_model() -> None:
    model = ScriptedModel(says(PARIS))
    service = Service(model, found(passage()), cache=cache())
    fresh, again = await service.ask(QUESTION, None), await service.ask("what's the capital of france", None)
    assert (is_cached(fresh), is_cached(again)) == (False, True)
    assert (len(model.requests), len(service.asked)) == (1, 1)
    assert again.text == again.end["answer"] == PARIS
    assert [frame["name"] for frame in again.of("step")] == ["answer_cache"]
    assert {k: v for k, v in again.end.items() if k not in VARYING} == {
        k: v for k, v in fresh.end.items() if k not in VARYING
    }
    assert again.of("metadata")[0]["sources"] == fresh.of("metadata")[0]["sources"]
    assert service.counted.usage == Usage(10, 5), "what is said again uses nothing"


VARYING = {"run_id", "seq", "timestamp", "usage", "cached"}


async def test_a_service_without_a_model_says_its_own_answers_again() -> None:
    fresh, again = await twice(extractive())
    assert (is_cached(fresh), is_cached(again)) == (False, True)
    assert again.end["model"] == "extractive"


@pytest.mark.parametrize(
    "turn",
    [
        says("The moon is made of green cheese, say some."),  # nothing bears it out
        says(PARIS, finish="length"),
        says(PARIS, finish="content_filter"),
        says("Paris is the capital of France. [1] [7]"),  # it names a source that is none
    ],
)
async def test_an_answer_with_a_flaw_is_made_anew(turn: Any) -> None:
    assert [is_cached(told) for told in await twice(ScriptedModel(turn))] == [False, False]


async def test_what_stands_in_for_the_model_is_not_kept() -> None:
    model = ScriptedModel(fails(ProviderUnavailable("away")), says(PARIS))
    service = Service(model, found(passage()), cache=cache())
    first = await service.ask(QUESTION, None)
    assert first.end["model"] == "extractive"
    assert first.end["grounded"]
    second = await service.ask(QUESTION, None)
    assert (is_cached(second), second.end["model"]) == (False, "scripted-1")


async def test_an_unsupported_and_a_curated_answer_are_not_kept() -> None:
    unsupported = await twice(extractive(), knowledge=found(passage(), confidence=0.1))
    curated = await twice(
        ScriptedModel(says(PARIS)), knowledge=found(passage(), curated=match(QUESTION, "Paris.", 0.9))
    )
    assert not any(map(is_cached, (*unsupported, *curated)))
    assert curated[1].end["model"] == "curated"


class Nothing(Arguments):
    pass


def tool(name: str, *, fails: bool = False) -> Tool:
    async def run(_: Nothing, scope: Scope) -> ToolResult:
        if fails:
            raise ToolFailed("no luck")
        return ToolResult("It is sunny.", ())

    return make_tool(name, "Tells.", Nothing, run)


@pytest.mark.parametrize(
    ("name", "fails", "kept"),
    [("search_knowledge_base", False, True), ("search_knowledge_base", True, False), ("weather", False, False)],
)
async def test_tools_that_tell_of_more_than_the_knowledge_or_fail_leave_nothing_to_keep(
    name: str, fails: bool, kept: bool
) -> None:
    model = ScriptedModel(calls(ToolCall("c", name, "{}")), says(PARIS))
    _, again = await twice(model, tools=[tool(name, fails=fails)])
    assert is_cached(again) is kept


async def test_a_run_whose_budget_ended_it_is_not_kept() -> None:
    model = ScriptedModel(calls(ToolCall("c", "search_knowledge_base", "{}")), says(PARIS), says(PARIS))
    first, again = await twice(model, tools=[tool("search_knowledge_base")], tool_steps=0)
    assert first.end["finish_reason"] == "budget_steps"
    assert not is_cached(again)


async def test_what_went_before_and_what_is_wished_for_is_not_in_the_cache() -> None:
    model = ScriptedModel(says(PARIS))
    service = Service(model, found(passage()), cache=cache())
    await service.ask(QUESTION, None)
    asks = [
        Ask(QUESTION, "c", turns=(Turn("Hello?", "Hello.", "complete"),)),
        Ask(QUESTION, "c", instructions="Answer in French."),
        Ask(QUESTION, "c", temperature=0.1),
        Ask(QUESTION, "c", max_tokens=5),
        Ask(QUESTION, "c", rag_mode="hybrid"),
        Ask(QUESTION, "c", model=ScriptedModel(says(PARIS))),
    ]
    # The last one's model has the same name, and its answer is the same model's.
    assert [is_cached(await service.told(await service.runner.start(ask))) for ask in asks] == [False] * 5 + [True]


async def test_who_wants_another_answer_gets_one_and_it_takes_the_place_of_the_first() -> None:
    model = ScriptedModel(says(PARIS), says("It is Paris, the capital of France. [1]"))
    service = Service(model, found(passage()), cache=cache())
    run = await service.start(QUESTION)
    await service.told(run)
    ask = Ask("", "caller", run.session_id, True, must_exist=True, regenerates=run.user_message_id)
    anew = await service.told(await service.runner.start(ask))
    assert (is_cached(anew), anew.text) == (False, "It is Paris, the capital of France. [1]")
    again = await service.ask(QUESTION, None)
    assert (is_cached(again), again.text) == (True, anew.text)


async def test_a_change_of_the_knowledge_or_no_word_of_it_makes_an_answer_anew() -> None:
    model = ScriptedModel(says(PARIS))
    service = Service(model, found(passage()), cache=cache())
    outcomes = []
    for version in (1, 1, 2, 2, None, None, 2):
        service.version = version
        outcomes.append(is_cached(await service.ask(QUESTION, None)))
    assert outcomes == [False, True, False, True, False, False, True]


async def test_a_citation_that_does_not_hold_any_more_makes_an_answer_anew() -> None:
    service = Service(ScriptedModel(says(PARIS)), found(passage()), cache=cache())
    await service.ask(QUESTION, None)
    service.changes += 1  # somewhere: the document, which the database does not have, is looked at
    assert not is_cached(await service.ask(QUESTION, None))


async def test_what_is_found_while_the_knowledge_changes_is_of_the_version_before() -> None:
    model = ScriptedModel(says(PARIS))
    service = Service(model, found(passage()), cache=cache())

    async def turn(request: Any, emit: Any) -> Any:
        service.version = 2
        return await says(PARIS)(request, emit)

    model._turns = [turn]
    await service.ask(QUESTION, None)
    assert not is_cached(await service.ask(QUESTION, None))


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ({}, {"caller": "ben"}, True),
        ({"scope": Scope(("", "ada"))}, {"scope": Scope(("", "ada"))}, True),
        ({"scope": Scope(("", "ada"))}, {"scope": Scope(("", "ben")), "caller": "ben"}, False),
        ({"scope": Scope(("", "ada"))}, {"scope": Scope(("", "ada")), "caller": "ben"}, False),
        ({"scope": Scope(("", "ada"))}, {}, False),
        ({"scope": Scope(("",), only=frozenset("d"))}, {"scope": Scope(("",), only=frozenset("e"))}, False),
        ({"scope": Scope(("", "ada"), first=frozenset("d"))}, {"scope": Scope(("", "ada"))}, False),
        ({"persona": Persona("p", "Be brief.")}, {"persona": Persona("p", "Be brief.")}, True),
        ({"persona": Persona("p", "Be brief.")}, {"persona": Persona("p", "Be long.")}, False),
        ({"persona": Persona("p")}, {"persona": Persona("q")}, False),
        ({"persona": Persona("p")}, {"persona": Persona("p", answers="knowledge_only")}, False),
        ({"tools": frozenset()}, {}, False),
    ],
)
async def test_answers_stay_where_they_were_made(first: Any, second: Any, kept: bool) -> None:
    service = Service(ScriptedModel(says(PARIS)), found(passage()), cache=cache(), tools=[tool("weather")])
    made = service.runner._preparation.context
    given: dict[str, Any] = {}

    async def context(run: Any, budget: Any) -> Any:
        return replace(await made(run, budget), **given)

    object.__setattr__(service.runner, "_preparation", _Prepared(service.runner._preparation, context))
    given |= {"scope": SHARED_SCOPE, "caller": "ada"} | first
    assert not is_cached(await service.ask(QUESTION, None))
    given.clear()
    given |= {"scope": SHARED_SCOPE, "caller": "ada"} | second
    assert is_cached(await service.ask(QUESTION, None)) is kept


class _Prepared:
    """A preparation whose contexts are made otherwise."""

    def __init__(self, preparation: Any, context: Any) -> None:
        self._preparation = preparation
        self.context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._preparation, name)


def test_tools_of_the_knowledge_alone() -> None:
    def used(name: str, result: str) -> tuple[Message, ...]:
        call = Message("assistant", "", (ToolCall("c", name, "{}"),))
        return call, Message("tool", result, tool_call_id="c")

    assert of_knowledge_alone(())
    assert of_knowledge_alone(used("read_knowledge_file", "Text"))
    assert not of_knowledge_alone(used("read_knowledge_file", f"{FAILED}no such file"))
    assert not of_knowledge_alone(used("list_knowledge_files", "a.md"))


def test_decisions() -> None:
    assert is_first_said((), "", "  ")
    assert not is_first_said((), "They spoke of France.", "")
    good = {"supported": True, "grounded": True, "finish_reason": "stop", "rejected": 0}
    assert worth_repeating(**good)
    for flaw in ({"supported": False}, {"grounded": False}, {"finish_reason": "length"}, {"rejected": 1}):
        assert not worth_repeating(**(good | flaw))
