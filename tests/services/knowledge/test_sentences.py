"""Which sentences answer a question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.passages import Passage
from services.knowledge.answer_type import AnswerType, answer_type, has_answer_of
from services.knowledge.sentences import SentenceSelector
from services.knowledge.text import TextAnalysis

TEXT = "Ethereum is a network. It moved to proof of stake on 15 September 2022. Its coin is ether. Fees are paid in it."
SELECTOR = SentenceSelector(lambda _: 1.0, TextAnalysis())


def passage(text: str, start: int = 0, document: str = "a.md", score: float = 0.5) -> Passage:
    return Passage(document, f"id-{document}", f"{document}-{start}", "Title", text, start, start + len(text), score)


def test_the_sentence_with_the_questions_words_is_chosen_with_its_place() -> None:
    found = SELECTOR.best_sentences("When did it move to proof of stake?", [passage(TEXT, 100)], 1)
    assert [one.text for one in found] == ["It moved to proof of stake on 15 September 2022."]
    assert TEXT[found[0].start - 100 : found[0].end - 100] == found[0].text
    assert found[0].source == 1


def test_several_come_in_reading_order() -> None:
    found = SELECTOR.best_sentences("In what coin are fees paid on Ethereum?", [passage(TEXT)], 3)
    assert [one.start for one in found] == sorted(one.start for one in found)
    assert len(found) == 3


def test_a_sentence_in_two_overlapping_chunks_is_taken_once() -> None:
    cut = TEXT.index("It moved")
    found = SELECTOR.best_sentences(
        "proof of stake", [passage(TEXT), passage(TEXT[cut:], cut), passage(TEXT, 0, "b.md")], 4
    )
    assert [one.text for one in found] == ["It moved to proof of stake on 15 September 2022.", "Its coin is ether."]


def test_a_sentence_that_asks_or_has_nothing_of_the_question_is_no_answer() -> None:
    other = passage("What is a stake? A stake is a deposit. Bees make honey. Wasps hunt.")
    assert [one.text for one in SELECTOR.best_sentences("What is a stake?", [other], 9)] == [
        "A stake is a deposit.",
        "Bees make honey.",
    ]


def test_no_passages_give_no_sentences() -> None:
    assert SELECTOR.best_sentences("anything", []) == []
    assert SELECTOR.best_sentences("anything", [passage("")]) == []


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How many bees are there?", AnswerType.NUMBER),
        ("When was it built?", AnswerType.DATE),
        ("In what year did it end?", AnswerType.DATE),
        ("Who wrote it?", AnswerType.NAME),
        ("What is a flash loan?", AnswerType.DEFINITION),
        ("define staking", AnswerType.DEFINITION),
        ("What is the capital of France?", None),
        ("Why is it so?", None),
    ],
)
def test_a_question_says_what_kind_of_answer_it_wants(question: str, kind: AnswerType | None) -> None:
    assert answer_type(question) is kind


def test_a_sentence_has_an_answer_of_a_kind_or_not() -> None:
    assert has_answer_of(AnswerType.NUMBER, "There were twelve.")
    assert has_answer_of(AnswerType.NAME, "It was written by Ada.")
    assert not has_answer_of(AnswerType.DATE, "It was built long ago.")
    assert not has_answer_of(None, "It was 1999.")
    assert has_answer_of(AnswerType.DEFINITION, "A flash loan is a loan without collateral.")
    assert not has_answer_of(AnswerType.DEFINITION, "Flash loans grew in 2020.")


@given(st.text(max_size=120), st.text(max_size=300), st.integers(1, 4))
def test_any_extract_is_an_exact_part_of_its_passage(question: str, text: str, limit: int) -> None:
    found = SELECTOR.best_sentences(question, [passage(text, 7)], limit)
    assert len(found) <= limit
    assert all(text[one.start - 7 : one.end - 7] == one.text for one in found)
