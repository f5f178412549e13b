"""The decisions, as tables."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.policies import (
    after_generate,
    after_retrieve,
    answers_from_whole,
    budget_spent,
    chosen_documents,
    declines,
    estimate_tokens,
    final_confidence,
    left_out,
    narrowed,
    summed_up,
    trim_history,
)
from infrastructure.database.models import SHARED
from services.knowledge.scope import SHARED_SCOPE, Scope
from services.personas import agent_scope
from services.sessions import Turn
from tests.agents.fakes import call, found, match, passage


@pytest.mark.parametrize(
    ("similarity", "way"), [(1.0, "curated"), (0.8, "curated"), (0.79, "generate"), (None, "generate")]
)
def test_a_close_curated_question_is_answered_as_it_stands(similarity: float | None, way: str) -> None:
    curated = None if similarity is None else match("Q?", "A.", similarity)
    assert after_retrieve(found(passage(), curated=curated), 0.8) == way


def test_calls_are_answered_and_an_answer_is_checked() -> None:
    assert after_generate([call("search_knowledge_base")]) == "use_tools"
    assert after_generate([]) == "ground"


@pytest.mark.parametrize(
    ("change", "spent"),
    [
        ({}, None),
        ({"steps_used": 4}, None),
        ({"steps_used": 5}, "steps"),
        ({"steps_used": 0, "max_steps": 0}, "steps"),
        ({"tokens_used": 99}, None),
        ({"tokens_used": 100}, "tokens"),
        ({"repeats": 2}, None),
        ({"repeats": 3}, "repeats"),
        ({"seconds_left": 0.0}, "seconds"),
        ({"seconds_left": -1.0, "tokens_used": 100, "repeats": 9, "steps_used": 9}, "seconds"),
        ({"tokens_used": 100, "repeats": 9, "steps_used": 9}, "tokens"),
        ({"repeats": 9, "steps_used": 9}, "repeats"),
    ],
)
def test_which_budget_is_used_up(change: dict[str, float], spent: str | None) -> None:
    usual: dict[str, Any] = {
        "steps_used": 0, "max_steps": 5, "tokens_used": 0, "max_tokens": 100, "repeats": 1, "seconds_left": 9.0,
    }  # fmt: skip
    assert budget_spent(**(usual | change)) == spent


def turn(number: int, size: int = 40) -> Turn:
    return Turn(f"q{number}".ljust(size), f"a{number}".ljust(size), "complete")


def test_the_newest_turns_are_kept_oldest_first() -> None:
    history = trim_history([turn(1), turn(2), turn(3)], 2 * 22)
    assert [(m.role, m.content.strip()) for m in history] == [
        ("user", "q2"), ("assistant", "a2"), ("user", "q3"), ("assistant", "a3"),
    ]  # fmt: skip


def test_a_turn_that_is_too_long_ends_the_history_and_is_not_cut() -> None:
    history = trim_history([turn(1), turn(2, 4000), turn(3)], 100)
    assert [m.content.strip() for m in history] == ["q3", "a3"]
    assert trim_history([turn(1, 4000)], 100) == ()
    assert trim_history([turn(1)], 0) == ()


@given(st.lists(st.tuples(st.text(max_size=50), st.text(max_size=50))), st.integers(0, 60))
def test_history_fits_its_budget_and_is_a_suffix(texts: list[tuple[str, str]], budget: int) -> None:
    turns = [Turn(question, answer, "complete") for question, answer in texts]
    history = trim_history(turns, budget)
    assert sum(estimate_tokens(message.content) for message in history) <= budget
    said = [text for pair in texts for text in pair]
    assert [message.content for message in history] == said[len(said) - len(history) :]


def test_an_answer_without_support_is_at_most_half_as_sure() -> None:
    assert final_confidence(0.9, grounded=True) == 0.9
    assert final_confidence(0.9, grounded=False) == 0.45


@pytest.mark.parametrize(
    ("answers", "supported", "said"),
    [("open", False, False), ("open", True, False), ("knowledge_only", True, False), ("knowledge_only", False, True)],
)
def test_only_who_is_kept_to_the_knowledge_says_so_when_nothing_is_found(
    answers: Any, supported: bool, said: bool
) -> None:
    assert declines(answers, supported) is said


@pytest.mark.parametrize(
    ("whole", "rag_mode", "chosen", "model", "answers"),
    [
        (True, "auto", True, "openai", True),  # "sum up this file"
        (True, "full_file", False, "openai", True),  # all that is attached was asked for
        (True, "auto", False, "openai", False),  # read because the agent is kept to it: that says nothing of a question
        (False, "full_file", True, "openai", False),  # it was too long, or is gone
        (True, "full_file", True, "extractive", False),
    ],
)
def test_whole_files_that_were_chosen_or_asked_for_are_what_a_model_answers_from(
    whole: bool, rag_mode: str, chosen: bool, model: str, answers: bool
) -> None:
    retrieval = replace(found(confidence=0.01), whole=whole)
    assert answers_from_whole(retrieval, rag_mode=rag_mode, chosen=chosen, model=model) is answers


ALL = Scope((SHARED, "ada"))
ATTACHED = Scope((SHARED, "ada", "n1"), first=frozenset({"f9", "n1"}))
CHOSEN = Scope(("ada",), only=frozenset({"f9"}))
FILES = agent_scope([("f1", "root")], None)
BOTH = agent_scope([("f1", "root")], ["s1"])
KNOWLEDGE = agent_scope([], ["s1"])


@pytest.mark.parametrize(
    ("asked", "agent", "looks"),
    [
        (ALL, None, ALL),
        (ALL, KNOWLEDGE, SHARED_SCOPE),
        (ALL, FILES, Scope(("root",), only=frozenset({"f1"}))),
        (ALL, BOTH, Scope((SHARED, "root"), only=frozenset({"f1", "s1"}))),
        (CHOSEN, FILES, CHOSEN),
        (ATTACHED, None, ATTACHED),
        (ATTACHED, FILES, Scope(("root", "ada", "n1"), frozenset({"f1", "f9", "n1"}), ATTACHED.first)),
        (ATTACHED, KNOWLEDGE, Scope((SHARED, "ada", "n1"), frozenset({"s1", "f9", "n1"}), ATTACHED.first)),
    ],
)
def test_a_question_looks_where_its_agent_does_and_into_what_the_asker_brought(
    asked: Scope, agent: Any, looks: Scope
) -> None:
    assert narrowed(asked, agent) == looks


@pytest.mark.parametrize(
    ("scope", "whole"),
    [(ALL, ()), (ATTACHED, ()), (CHOSEN, {"f9"}), (FILES.scope, {"f1"}), (BOTH.scope, ()), (KNOWLEDGE.scope, ())],
)
def test_files_that_a_question_is_kept_to_may_be_read_whole_but_not_all_that_is_shared(
    scope: Scope, whole: Any
) -> None:
    assert chosen_documents(scope) == frozenset(whole)


@given(st.lists(st.tuples(st.text(max_size=50), st.text(max_size=50))), st.integers(0, 60))
def test_what_is_left_out_and_what_is_shown_is_all_of_it(texts: list[tuple[str, str]], budget: int) -> None:
    turns = [Turn(question, answer, "complete") for question, answer in texts]
    shown = trim_history(turns, budget)
    assert 2 * left_out(turns, budget) + len(shown) == 2 * len(turns)


@pytest.mark.parametrize(
    ("covered", "turns", "count"),
    [
        ((), (1, 2), 0), ((1,), (), 0), ((1,), (1, 2), 1), ((1, 2), (1, 2, 3), 2),
        ((1, 2, 3), (2, 3, 4), 2),  # the oldest is held no more
        ((1, 2), (3, 4), 0), ((1, 2), (1, 9, 3), 0),  # edited
        ((1, 2), (1, 3), 0), ((1, 2, 3), (1, 2), 0), ((5, 5), (5, 5, 5), 2),
    ],
)  # fmt: skip
def test_a_summary_stands_for_turns_only_while_these_are_the_oldest_there_are(
    covered: tuple[int, ...], turns: tuple[int, ...], count: int
) -> None:
    assert summed_up(covered, turns) == count
