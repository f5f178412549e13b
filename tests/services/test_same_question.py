"""Twins are told apart, however near they are; what is said in other words is known where that is safe."""

import json
import time
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.embedders.wordllama import WordLlamaEmbedder
from services.same_question import LEAST_COSINE, MAX_CHARS, read_question, said_alike, worded_alike
from tests.services.question_pairs import MISSED, SAME, TWINS

ROOT = Path(__file__).parents[2]


def agree(asked: str, kept: str) -> bool:
    return worded_alike(read_question(asked), read_question(kept))


@pytest.mark.parametrize(("left", "right"), TWINS)
def test_a_twin_is_another_question(left: str, right: str) -> None:
    assert not agree(left, right)
    assert not agree(right, left)


@pytest.mark.parametrize(("kept", "asked"), SAME)
def test_the_same_in_other_words_is_one_question(kept: str, asked: str) -> None:
    assert agree(asked, kept)


def test_what_is_the_same_is_near_enough_by_its_vectors() -> None:
    embedder = WordLlamaEmbedder()
    for pair in SAME:
        left, right = embedder.embed([read_question(text).plain for text in pair])
        assert float(left @ right) >= LEAST_COSINE, pair


def test_vectors_alone_would_take_twins_for_one() -> None:
    """Why words decide: at the cosine of most paraphrases most twins would pass too."""
    embedder = WordLlamaEmbedder()
    cosines = [float(left @ right) for left, right in (embedder.embed(pair) for pair in TWINS)]
    assert sum(cosine >= 0.9 for cosine in cosines) > len(cosines) / 3


@pytest.mark.parametrize(("left", "right"), MISSED)
def test_what_is_not_safe_to_tell_is_taken_for_two(left: str, right: str) -> None:
    assert not agree(left, right)


def test_who_types_without_capitals_may_mean_them_and_who_types_with_them_does() -> None:
    assert agree("what is defi?", "What is DeFi?")
    assert agree("WHAT IS DEFI", "What is DeFi?")
    assert not agree("What is DeFi?", "what is defi?")
    assert not agree("What is Turkey?", "What is turkey?")


def test_the_same_words_need_no_vectors() -> None:
    kept = read_question("What is a flash loan?")
    assert said_alike(read_question("what  is a flash loan"), kept)
    assert not said_alike(read_question("What are flash loans?"), kept)


@pytest.mark.parametrize("text", ["def f():\n    return 1\nWhat does it do?", "What does `x` do?", "why " * MAX_CHARS])
def test_code_and_what_is_long_is_the_same_only_to_the_letter(text: str) -> None:
    assert agree(text, text)
    assert not agree(text.upper(), text)
    assert not agree(text.replace(" ", "  "), text)


@given(st.text(max_size=60))
def test_every_text_is_the_same_as_itself(text: str) -> None:
    question = read_question(text)
    assert worded_alike(question, read_question(text))
    assert said_alike(question, read_question(text))


def test_a_hostile_text_takes_no_time() -> None:
    began = time.perf_counter()
    for text in (
        " ".join(["please"] * 83),
        "hi, " * 125,
        "what is " + "a " * 240,
        "what's " * 70,
        "'" * 500,
        "?" * 500,
    ):
        read_question(text[:MAX_CHARS])
    assert time.perf_counter() - began < 0.2


def test_no_two_questions_of_a_collection_are_taken_for_one() -> None:
    texts = [sample["question"] for sample in json.loads((ROOT / "tests/data/sample_questions.json").read_text())]
    shapes = [read_question(text) for text in dict.fromkeys(texts)]
    assert len(shapes) > 10
    assert [(one.text, other.text) for one, other in combinations(shapes, 2) if one.shape == other.shape] == []
