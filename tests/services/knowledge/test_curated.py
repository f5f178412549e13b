"""Close matches of curated questions."""

import numpy as np
import pytest

from services.knowledge.curated import CuratedQuestions, curated_match, similarity
from services.knowledge.text import TextAnalysis
from tests.services.knowledge.corpus import EMBEDDER, chunk, entry

ANALYSIS = TextAnalysis()


def close(asked: str, curated: str) -> float:
    left, right = EMBEDDER.embed([asked, curated])
    return similarity(asked, curated, float(left @ right), ANALYSIS, lambda _: 1.0)


def test_the_same_question_is_the_same_whatever_its_case_and_punctuation() -> None:
    assert close("what is  a Flash-loan", "What is a flash loan?") == 1


@pytest.mark.parametrize(
    ("asked", "curated"),
    [
        ("What are stablecoins?", "What is a stablecoin?"),
        ("Explain yield farming", "What do people mean by yield farming?"),
    ],
)
def test_a_paraphrase_is_close(asked: str, curated: str) -> None:
    assert 0.7 < close(asked, curated) < 1


@pytest.mark.parametrize(
    ("asked", "curated"),
    [
        ("What is lending?", "What is staking?"),
        ("What is a layer 1 network?", "What is a layer 2 network?"),
        ("What is the capital of France?", "What is decentralised finance?"),
        ("", "What is staking?"),
    ],
)
def test_another_question_is_not_close(asked: str, curated: str) -> None:
    assert close(asked, curated) < 0.6


def test_an_entry_without_marked_answer_answers_with_its_text() -> None:
    match = curated_match(chunk(1, "a.md", "All of it.", 30), 0.9)
    assert (match.answer, match.answer_start, match.answer_end) == ("All of it.", 30, 40)


def test_nothing_is_closest_where_there_are_no_curated_questions() -> None:
    none = CuratedQuestions.of((), np.empty((0, 256), np.float32))
    assert none.closest("What?", EMBEDDER.embed(["What?"])[0], ANALYSIS, lambda _: 1.0) is None


def test_questions_are_replaced_and_the_closest_is_found() -> None:
    old, new = entry(1, "What is staking?", "Old."), entry(2, "What is lending?", "New.")
    questions = CuratedQuestions.of([old], EMBEDDER.embed(["What is staking?"]))
    questions = questions.replace([1], [new], EMBEDDER.embed(["What is lending?"]))
    found = questions.closest("lending?", EMBEDDER.embed(["lending?"])[0], ANALYSIS, lambda _: 1.0)
    assert found is not None
    assert found[0] is new
