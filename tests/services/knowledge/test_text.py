"""Analysed texts and weighed questions."""

import pytest

from services.knowledge.text import TextAnalysis, shared_weight

ANALYSIS = TextAnalysis()


def even(_: str) -> float:
    return 1.0


def test_an_analysed_text_has_a_line_of_terms_for_each_sentence() -> None:
    analysed = ANALYSIS.of("Bees make honey. Wasps hunt.")
    assert analysed.lines() == [" bee make honey ", " wasp hunt "]
    assert len(analysed.spans) == 2
    assert ANALYSIS.of("").lines() == []


def test_coverage_is_the_share_of_the_questions_weight() -> None:
    question = ANALYSIS.weigh("honey bees or wasps", even)
    assert question.coverage(ANALYSIS.of("Bees make honey.").terms) == pytest.approx(2 / 3)
    assert ANALYSIS.weigh("who are you", even).coverage(" bee ") == 0


def test_adjacency_needs_the_same_order_within_one_sentence() -> None:
    question = ANALYSIS.weigh("honey bees", even)
    assert question.adjacency(ANALYSIS.of("The honey bee.").terms) == 1
    assert question.adjacency(ANALYSIS.of("Honey. Bees. Bee honey.").terms) == 0
    assert ANALYSIS.weigh("bees", even).adjacency(" bee ") == 0


def test_words_that_ask_weigh_less_than_those_asked_about() -> None:
    question = ANALYSIS.weigh("explain honey", even)
    assert question.weights[0] < question.weights[1]
    assert question.rarity == 2


def test_a_question_has_a_bounded_number_of_terms() -> None:
    assert len(ANALYSIS.weigh(" ".join(f"word{n}" for n in range(500)), even).terms) == 64


def test_shared_weight_is_looked_at_from_both_sides() -> None:
    assert shared_weight(["a", "b"], ["a"], even) == (0.5, 1.0)
    assert shared_weight([], ["a"], even) == (0.0, 0.0)
