"""The decisions, as tables."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.policies import (
    after_generate,
    after_retrieve,
    budget_spent,
    estimate_tokens,
    final_confidence,
    trim_history,
)
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
