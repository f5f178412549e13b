"""What an answer's citations rest on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.passages import Passage
from services.knowledge.grounding import Grounder
from services.knowledge.text import TextAnalysis

LOSS = (
    "Impermanent loss is what a liquidity provider loses against holding. It grows when prices diverge. "
    "Fees may offset it."
)
MERGE = "Ethereum moved to proof of stake on 15 September 2022. Staking locks ether."
GROUNDER = Grounder(TextAnalysis())


def passage(text: str, start: int, document: str) -> Passage:
    return Passage(document, f"id-{document}", f"chunk-{document}", "T", text, start, start + len(text), 0.5, "Part", 3)


PASSAGES = [passage(LOSS, 50, "loss.md"), passage(MERGE, 0, "merge.md")]


def test_a_marker_becomes_a_citation_of_the_sentence_that_supports_it() -> None:
    found = GROUNDER.ground("The merge: Ethereum moved to proof of stake in September 2022 [2].", PASSAGES)
    (citation,) = found.citations
    assert (citation.id, citation.document, citation.chunk_id) == (2, "merge.md", "chunk-merge.md")
    assert (citation.page, citation.section) == (3, "Part")
    assert citation.quote == "Ethereum moved to proof of stake on 15 September 2022."
    assert citation.quote == MERGE[citation.start : citation.end]
    assert citation.score > 0.8
    assert found.grounded
    assert found.rejected == 0


def test_offsets_count_in_the_document() -> None:
    (citation,) = GROUNDER.ground("Fees may offset impermanent loss.[1]", PASSAGES).citations
    assert citation.quote == LOSS[citation.start - 50 : citation.end - 50]


def test_two_sentences_are_quoted_where_one_does_not_hold_it_all() -> None:
    (citation,) = GROUNDER.ground("Impermanent loss grows when prices diverge [1].", PASSAGES).citations
    assert citation.quote.endswith("It grows when prices diverge.")
    assert citation.quote.startswith("Impermanent loss is")


@pytest.mark.parametrize(
    "answer", ["Loss [1, 2].", "Loss [1][2].", "Loss [1; 2]!", "Loss. [2] [1]", "Loss [ 1 ] and [2]"]
)
def test_markers_in_all_their_forms_are_read(answer: str) -> None:
    assert [citation.id for citation in GROUNDER.ground(answer, PASSAGES).citations] == [1, 2]


def test_a_marker_after_a_full_stop_belongs_to_the_sentence_before_it() -> None:
    answer = "Staking locks ether. [2] Impermanent loss hurts a liquidity provider. [1]"
    scores = [citation.score for citation in GROUNDER.ground(answer, PASSAGES).citations]
    assert min(scores) > 0.5


def test_one_citation_is_given_for_a_passage_and_it_is_the_best() -> None:
    answer = "Nothing of this kind is known [2]. Staking locks ether [2]."
    (citation,) = GROUNDER.ground(answer, PASSAGES).citations
    assert citation.quote == "Staking locks ether."


def test_markers_of_no_passage_are_counted_and_not_cited() -> None:
    found = GROUNDER.ground("Staking locks ether [0] [3, 2] [99].", PASSAGES)
    assert [citation.id for citation in found.citations] == [2]
    assert found.rejected == 3


@pytest.mark.parametrize(
    "answer",
    [
        "Bananas grow on tall plants in warm countries.",
        "Staking locks ether. Bananas grow on tall plants.",
        "Ethereum moved to proof of stake on 15 September 2023.",
        "",
        "[1]",
    ],
)
def test_an_answer_that_the_passages_do_not_hold_is_not_grounded(answer: str) -> None:
    assert not GROUNDER.ground(answer, PASSAGES).grounded


@pytest.mark.parametrize(
    "answer", ["Staking locks ether.", "Here it is: a liquidity provider loses against holding.", "Ether.", LOSS]
)
def test_an_answer_in_the_passages_words_is_grounded_without_markers(answer: str) -> None:
    found = GROUNDER.ground(answer, PASSAGES)
    assert found.grounded
    assert found.citations == []


def test_a_sentence_that_cites_two_passages_may_draw_on_both() -> None:
    answer = "Staking locks ether while impermanent loss hurts liquidity providers"
    assert not GROUNDER.ground(answer, PASSAGES[1:]).grounded
    assert GROUNDER.ground(f"{answer} [1][2].", PASSAGES).grounded


def test_a_passage_of_no_sentences_is_quoted_whole() -> None:
    (citation,) = GROUNDER.ground("See [1].", [passage("# A heading", 5, "h.md")]).citations
    assert (citation.quote, citation.start, citation.end) == ("# A heading", 5, 16)


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_answer_has_exact_quotes_of_passages_it_names(answer: str, text: str) -> None:
    passages = [passage(text, 11, "a.md")]
    for citation in GROUNDER.ground(f"{answer} [1]", passages).citations:
        assert citation.quote == text[citation.start - 11 : citation.end - 11]
        assert 0 <= citation.score <= 1
