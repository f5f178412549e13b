"""The probability that the knowledge supports an answer."""

from hypothesis import given
from hypothesis import strategies as st

from services.knowledge.confidence import ANSWER_THRESHOLD, Found, Signals, probability, signals
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
    assert (seen.passage, seen.sentences) == (1.0, 0.5)


def test_a_question_of_no_content_has_no_signals_but_the_cosine() -> None:
    question = ANALYSIS.weigh("who are you", lambda _: 1.0)
    assert signals(question, [found("Bees.", cosine=0.4)]) == Signals(0, 0, 0, 0, 0.4)
    assert signals(question, []) == Signals(0, 0, 0, 0, 0)
