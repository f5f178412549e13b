"""From text to terms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.lexical.analysis import Analyzer

ANALYZER = Analyzer()


def test_words_are_stemmed_and_the_words_of_asking_are_gone() -> None:
    assert ANALYZER.terms("How does lending work, and what are the lenders' risks?") == [
        "lend",
        "work",
        "lender",
        "risk",
    ]


def test_letters_fold_to_ascii_and_lower_case() -> None:
    assert ANALYZER.terms("Über CAFÉ") == ["uber", "cafe"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("decentralised organisation", "decentralized organization"),
        ("RWAs and AMMs", "RWA and AMM"),
        ("layer 2s", "layer 2"),
    ],
)
def test_spellings_of_one_word_are_one_term(one: str, other: str) -> None:
    assert ANALYZER.terms(one) == ANALYZER.terms(other)


@pytest.mark.parametrize(
    ("text", "asked"),
    [("a re-entrancy attack", "reentrancy"), ("the ERC-20 token", "ERC20"), ("an ERC20 token", "ERC-20")],
)
def test_a_compound_is_found_by_its_other_spelling(text: str, asked: str) -> None:
    assert set(ANALYZER.terms(asked)) <= set(ANALYZER.widened_terms(text))


def test_a_question_of_nothing_but_function_words_has_no_terms() -> None:
    assert ANALYZER.terms("Who are you, and why?") == []


@given(st.text(max_size=300))
def test_any_text_has_terms_without_white_space(text: str) -> None:
    assert all(term and not term.isspace() and " " not in term for term in ANALYZER.widened_terms(text))
