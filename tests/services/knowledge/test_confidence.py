"""The probability that the knowledge supports an answer."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.knowledge import confidence
from services.knowledge.confidence import (
    ANSWER_THRESHOLD,
    CALIBRATIONS,
    Calibration,
    Found,
    Signals,
    calibration,
    probability,
    signals,
)
from services.knowledge.text import TextAnalysis

ANALYSIS = TextAnalysis()
SHARE = st.floats(0, 1)


def found(text: str, heading: str = "", lexical: float = 0.5, cosine: float = 0.5) -> Found:
    return Found(ANALYSIS.of(text), ANALYSIS.heading(heading), lexical, cosine)


@given(SHARE, SHARE, SHARE, st.floats(0, 5), st.floats(-1, 1))
def test_it_is_a_probability(passage: float, sentences: float, pairs: float, lexical: float, cosine: float) -> None:
    assert 0 < probability(Signals(passage, sentences, pairs, lexical, cosine)) < 1


def test_all_signals_high_are_confident_and_all_low_are_not() -> None:
    assert probability(Signals(1, 1, 1, 1, 0.6)) > 0.95
    assert probability(Signals(0, 0, 0, 0, 0.2)) < 0.05 < ANSWER_THRESHOLD


def test_signals_look_at_headings_for_the_passage_and_at_neighbours_for_sentences() -> None:
    question = ANALYSIS.weigh("bees honey nectar flowers", lambda _: 1.0)
    seen = signals(question, [found("Honey is sweet. Nectar is too. Wasps hunt. Flowers bloom.", "Bees")])
    trust = 4 / 4.5
    assert (seen.passage, seen.sentences) == pytest.approx((trust, trust / 2))


def test_a_word_alone_says_less_than_a_sentence_of_them() -> None:
    text = found("Honey bees make honey of nectar from flowers.", lexical=0.5, cosine=0.2)
    one, five = (
        signals(ANALYSIS.weigh(question, lambda _: 1.0), [text])
        for question in ("bees", "do honey bees make honey of nectar from flowers")
    )
    assert one.passage < five.passage
    assert one.pairs == 0
    assert probability(one) < probability(five)


def test_the_weights_come_from_the_file_beside_the_code_and_say_where_they_are_from() -> None:
    path = Path(confidence.__file__).with_name(CALIBRATIONS)
    kept = json.loads(path.read_text("utf-8"))
    fit = kept["models"][kept["default"]]
    assert calibration() == Calibration(fit["intercept"], tuple(fit["weights"].values()))
    assert list(fit["weights"]) == list(Signals.__dataclass_fields__)
    assert all(weight > 0 for weight in fit["weights"].values())
    assert fit["fitted"]["command"] == "make fit-confidence"
    assert all(checksum.startswith("sha256:") for checksum in fit["fitted"]["data"].values())
    assert fit["cross_validated"]["threshold"] == ANSWER_THRESHOLD


def test_a_model_without_a_fit_of_its_own_has_the_defaults() -> None:
    assert calibration("no such model") == calibration()


def test_a_probability_is_of_the_fit_that_is_given() -> None:
    assert probability(Signals(1, 1, 1, 1, 1), Calibration(0.0, (0.0,) * 5)) == 0.5


def test_a_question_of_no_content_has_no_signals_but_the_cosine() -> None:
    question = ANALYSIS.weigh("who are you", lambda _: 1.0)
    assert signals(question, [found("Bees.", cosine=0.4)]) == Signals(0, 0, 0, 0, 0.4)
    assert signals(question, []) == Signals(0, 0, 0, 0, 0)
