"""The way of a question: curated answers, the model's answers, tools within their budgets, and what stands in."""

import asyncio
import itertools
from collections.abc import Sequence

import pytest

from agents.prompts import BUDGET_NOTES, LAST_CALL
from agents.tools.base import Tool
from agents.tools.search_knowledge_base import search_knowledge_base
from infrastructure.errors import ProviderProtocolError, ProviderRejected, ProviderUnavailable
from infrastructure.passages import Passage
from infrastructure.providers.extractive import NO_ANSWER
from infrastructure.providers.types import Emit, ModelReply, ModelRequest, ToolCall, Usage
from services.knowledge.scope import Scope
from services.knowledge.search import Retrieval
from tests.agents.fakes import (
    SESSION,
    Endless,
    ScriptedModel,
    Service,
    call,
    calls,
    extractive,
    fails,
    found,
    match,
    passage,
    says,
)

PARIS = found(passage())
NOTHING = found(confidence=0.1)
WEAK = found(passage("Berlin is large."), confidence=0.1)
SEARCH = "search_knowledge_base"


def search_tool(*passages: Passage) -> Tool:
    async def search(query: str, limit: int, scope: Scope) -> Retrieval:
        return found(*passages)

    return search_knowledge_base(search, 3)


async def test_a_model_answers_from_the_passages_and_its_citation_is_checked() -> None:
    model = ScriptedModel(says("Paris is the ", "capital of France ", "[1]."))
    service = Service(model, PARIS)
    told = await service.ask()
    assert [(f["type"], f.get("name"), f.get("state")) for f in told.frames if f["type"] != "word"] == [
        ("status", None, None),
        ("step", "retrieve", "started"),
        ("step", "retrieve", "finished"),
        ("metadata", None, None),
        ("complete", None, None),
    ]
    [metadata] = told.of("metadata")
    assert metadata["sources"] == [{"document": "doc1.md", "score": 0.9}]
    assert (metadata["model"], metadata["session_id"], metadata["confidence"]) == ("scripted-1", SESSION, 0.9)
    assert told.end["answer"] == told.text == "Paris is the capital of France [1]."
    assert told.end["grounded"] is True
    assert told.end["total_words"] == 7
    assert told.end["confidence"] == told.end["final_confidence"] == 0.9
    assert told.end["usage"] == {"prompt_tokens": 10, "completion_tokens": 5}
    assert (told.end["finish_reason"], told.end["model"]) == ("stop", "scripted-1")
    [citation] = told.end["citations"]
    assert (citation["id"], citation["document"]) == (1, "doc1.md")
    assert citation["quote"] == passage().text[citation["start"] : citation["end"]]
    assert {word["confidence"] for word in told.of("word")} == {0.9}
    assert service.counted.outcomes == ["complete"]
    assert service.counted.usage == Usage(10, 5)


async def test_markers_that_name_no_passage_are_counted_and_not_cited() -> None:
    service = Service(ScriptedModel(says("Paris is the capital of France [1][7].")), PARIS)
    told = await service.ask()
    assert [citation["id"] for citation in told.end["citations"]] == [1]
    assert service.counted.rejected == 1


async def test_an_answer_without_support_streams_and_says_that_it_is_not_grounded() -> None:
    told = await Service(ScriptedModel(says("The moon is made of green cheese.")), NOTHING).ask()
    assert told.text == "The moon is made of green cheese."
    assert told.end["grounded"] is False
    assert told.end["citations"] == []
    assert told.end["confidence"] == 0.05
    assert told.end["processing_stage"] == "response_complete"


async def test_a_close_curated_question_is_answered_as_it_stands_without_a_model() -> None:
    model = ScriptedModel(fails(AssertionError("not asked")))
    service = Service(model, found(passage(), curated=match("Capital?", "It is Paris, 100%.", 0.93)))
    told = await service.ask()
    assert told.text == told.end["answer"] == "It is Paris, 100%."
    assert (told.end["model"], told.end["confidence"], told.end["grounded"]) == ("curated", 0.93, True)
    [citation] = told.end["citations"]
    assert (citation["quote"], citation["start"], citation["end"]) == ("It is Paris, 100%.", 9, 27)
    assert model.requests == []
    assert told.of("metadata")[0]["model"] == "curated"


async def test_a_curated_question_that_is_not_close_enough_goes_to_the_model() -> None:
    told = await Service(ScriptedModel(says("Hm.")), found(passage(), curated=match("Q?", "A.", 0.79))).ask()
    assert told.end["answer"] == "Hm."


async def test_extractive_answers_with_the_knowledges_own_sentence() -> None:
    told = await Service(extractive(), PARIS).ask()
    assert told.text == "Paris is the capital of France. [1]"
    assert (told.end["grounded"], told.end["model"]) == (True, "extractive")


@pytest.mark.parametrize("knowledge", [NOTHING, WEAK], ids=["nothing", "nothing that bears on it"])
async def test_extractive_says_so_when_it_does_not_know(knowledge: Retrieval) -> None:
    service = Service(extractive(), knowledge)
    told = await service.ask()
    assert told.text == NO_ANSWER
    assert told.end["processing_stage"] == told.of("metadata")[0]["processing_stage"] == "no_relevant_answer"
    assert (told.end["citations"], told.end["grounded"], told.end["confidence"]) == ([], False, 0.1)
    assert service.counted.outcomes == ["no_relevant_answer"]


async def test_a_tools_passages_get_the_next_numbers_and_can_be_cited() -> None:
    model = ScriptedModel(
        calls(call(SEARCH, query="river"), saying="Let me look"), says("The Seine flows through Paris [2].")
    )
    service = Service(model, PARIS, tools=[search_tool(passage(), passage("The Seine flows through Paris.", 2))])
    told = await service.ask()
    assert told.text == "Let me look\n\nThe Seine flows through Paris [2]."
    assert [citation["document"] for citation in told.end["citations"]] == ["doc2.md"]
    assert told.end["usage"] == {"prompt_tokens": 20, "completion_tokens": 10}
    steps = [(f["name"], f["state"], f.get("detail"), f.get("call_id")) for f in told.of("step")[2:]]
    assert steps == [(SEARCH, "started", None, "call_1"), (SEARCH, "finished", "2 passages", "call_1")]
    system, question, asked, answered = model.requests[1].messages
    assert [message.role for message in (system, question, asked, answered)] == ["system", "user", "assistant", "tool"]
    assert (asked.content, asked.tool_calls, answered.tool_call_id) == (
        "Let me look", (call(SEARCH, query="river"),), "call_1",
    )  # fmt: skip
    assert 'number="1"' in answered.content, "what is known keeps its number"
    assert 'number="2"' in answered.content
    assert 'number="2"' not in question.content
    assert [spec.name for spec in model.requests[0].tools] == [SEARCH]


async def test_several_calls_in_one_turn_have_one_result_each_in_their_order() -> None:
    wanted = (call(SEARCH, "a", query="x"), call("no_such_tool", "b"), ToolCall("c", SEARCH, "not json"))
    model = ScriptedModel(calls(*wanted), says("Done."))
    told = await Service(model, PARIS, tools=[search_tool()]).ask()
    results = model.requests[1].messages[-3:]
    assert [message.tool_call_id for message in results] == ["a", "b", "c"]
    assert results[0].content == "Nothing was found."
    assert results[1].content == f"The tool failed: There is no such tool. The tools are: {SEARCH}."
    assert "arguments are not valid" in results[2].content
    assert [(f["name"], f["state"]) for f in told.of("step")[2:]] == [
        (SEARCH, "started"), (SEARCH, "finished"), ("unknown_tool", "started"), ("unknown_tool", "failed"),
        (SEARCH, "started"), (SEARCH, "failed"),
    ]  # fmt: skip
    assert told.end["answer"] == "Done."


def ever_new_calls() -> ScriptedModel:
    numbers = itertools.count()

    async def turn(request: ModelRequest, emit: Emit) -> ModelReply:
        wanted = (call(SEARCH, query=f"try {next(numbers)}"),) if request.tools else ()
        if not wanted:
            emit("Paris is the capital of France [1].")
        return ModelReply("", "scripted-1", "tool_calls" if wanted else "stop", wanted, Usage(1, 1))

    return ScriptedModel(turn)


async def test_a_model_that_wants_tools_for_ever_is_told_to_answer_and_the_answer_says_so() -> None:
    model = ever_new_calls()
    told = await Service(model, PARIS, tools=[search_tool()], tool_steps=2).ask()
    assert told.text == f"Paris is the capital of France [1].\n\n({BUDGET_NOTES['steps']})"
    assert told.end["finish_reason"] == "budget_steps"
    assert told.end["grounded"] is True, "our own note is no claim"
    assert len(model.requests) == 4
    assert model.requests[-1].tools == ()
    assert model.requests[-1].messages[-1].content == LAST_CALL
    assert sum(f["state"] == "finished" for f in told.of("step")) == 3


async def test_a_model_that_does_not_even_then_stop_gets_the_knowledge_said_for_it() -> None:
    service = Service(ScriptedModel(calls(call(SEARCH, query="x"))), PARIS, tools=[search_tool()], tool_steps=0)
    told = await service.ask()
    assert told.text == f"Paris is the capital of France. [1]\n\n({BUDGET_NOTES['steps']})"
    assert told.end["finish_reason"] == "budget_steps"


async def test_text_before_a_refused_call_is_a_paragraph_of_its_own() -> None:
    model = ScriptedModel(calls(call(SEARCH, query="x"), saying="Let me look"), says("Paris."))
    told = await Service(model, PARIS, tools=[search_tool()], tool_steps=0).ask()
    assert told.text.startswith("Let me look\n\nParis.")


async def test_text_of_a_model_that_does_not_stop_is_kept_and_nothing_is_put_in_its_place() -> None:
    model = ScriptedModel(calls(call(SEARCH, query="x"), saying="Look"))
    told = await Service(model, PARIS, tools=[search_tool()], tool_steps=0).ask()
    assert told.text == f"Look\n\nLook\n\n({BUDGET_NOTES['steps']})"


async def test_the_same_call_again_and_again_ends_the_work() -> None:
    model = ScriptedModel(calls(call(SEARCH, query="x")))
    told = await Service(model, PARIS, tools=[search_tool()], tool_steps=50).ask()
    assert told.end["finish_reason"] == "budget_repeats"
    assert BUDGET_NOTES["repeats"] in told.text
    assert sum(f["state"] == "finished" and f["name"] == SEARCH for f in told.of("step")) == 2


async def test_tokens_are_a_budget_too() -> None:
    model = ScriptedModel(calls(call(SEARCH, query="x"), usage=Usage(90, 10)), says("Paris."))
    told = await Service(model, PARIS, tools=[search_tool()], tokens=100).ask()
    assert told.text == f"Paris.\n\n({BUDGET_NOTES['tokens']})"


async def test_time_that_is_up_before_the_first_token_gets_the_knowledge_said() -> None:
    model = Endless()
    told = await Service(ScriptedModel(model), PARIS, seconds=0.05).ask()
    assert told.text == f"Paris is the capital of France. [1]\n\n({BUDGET_NOTES['seconds']})"
    assert (told.end["finish_reason"], told.end["grounded"]) == ("budget_seconds", True)
    assert model.closed


async def test_time_that_is_up_after_the_first_token_keeps_what_was_said() -> None:
    model = Endless("Paris is the capi")
    told = await Service(ScriptedModel(model), PARIS, seconds=0.05).ask()
    assert told.text == f"Paris is the capi\n\n({BUDGET_NOTES['seconds']})"
    assert told.end["finish_reason"] == "budget_seconds"
    assert model.closed


async def test_a_tool_that_is_too_slow_is_given_up_and_the_model_told() -> None:
    stopped = False

    async def slow(query: str, limit: int, scope: Scope) -> Retrieval:
        nonlocal stopped
        try:
            await asyncio.Event().wait()
        finally:
            stopped = True
        raise AssertionError

    model = ScriptedModel(calls(call(SEARCH, query="x")), says("Paris."))
    told = await Service(model, PARIS, tools=[search_knowledge_base(slow, 3)], tool_seconds=0.02).ask()
    assert model.requests[1].messages[-1].content == "The tool failed: The tool took too long."
    assert told.of("step")[-1]["detail"] == "The tool took too long."
    assert told.end["answer"] == "Paris."
    assert stopped


@pytest.mark.parametrize("error", [ProviderUnavailable("Away."), ProviderRejected("No."), ProviderProtocolError("Eh?")])
async def test_a_model_that_fails_before_its_first_token_is_stood_in_for(error: Exception) -> None:
    told = await Service(ScriptedModel(fails(error)), PARIS).ask()
    assert told.text == "Paris is the capital of France. [1]"
    assert [metadata["model"] for metadata in told.of("metadata")] == ["scripted-1", "extractive"]
    assert (told.end["model"], told.end["type"]) == ("extractive", "complete")


async def test_what_stands_in_says_so_when_it_does_not_know() -> None:
    told = await Service(ScriptedModel(fails(ProviderUnavailable("Away."))), WEAK).ask()
    assert told.text == NO_ANSWER
    assert told.of("metadata")[-1]["processing_stage"] == "no_relevant_answer"
    assert told.end["processing_stage"] == "no_relevant_answer"


async def test_a_model_that_fails_after_tools_is_stood_in_for_with_all_that_was_found() -> None:
    model = ScriptedModel(calls(call(SEARCH, query="x")), fails(ProviderUnavailable("Away.")))
    told = await Service(model, NOTHING, tools=[search_tool(passage())]).ask()
    assert told.text == "Paris is the capital of France. [1]"
    assert told.end["grounded"] is True


@pytest.mark.parametrize("said", [("Paris is ",), ("Pa",)], ids=["a word", "a part of a word"])
async def test_a_model_that_fails_after_its_first_token_ends_in_an_error_with_what_was_said(
    said: Sequence[str],
) -> None:
    service = Service(ScriptedModel(fails(ProviderProtocolError("A broken chunk."), *said)), PARIS)
    told = await service.ask()
    assert told.text == told.end["answer"] == said[0]
    assert (told.end["type"], told.end["code"], told.end["retryable"]) == ("error", "provider_protocol_error", True)
    assert service.counted.outcomes == ["provider_protocol_error"]
    [turn] = (await service.sessions.open(SESSION)).turns
    assert (turn.answer, turn.status) == (said[0], "error")


async def test_without_a_fallback_a_dead_model_is_an_error() -> None:
    told = await Service(ScriptedModel(fails(ProviderUnavailable("Away."))), PARIS, fall_back=False).ask()
    assert (told.end["code"], told.end["error"], told.end["message"]) == ("provider_unavailable", "Away.", "Away.")
    assert "answer" not in told.end


def test_the_graph_can_be_drawn() -> None:
    drawn = Service(extractive(), PARIS).graph.draw()
    for name in ("recall", "retrieve", "curated", "generate", "use_tools", "ground"):
        assert name in drawn
