"""BM25 without a lexical index: that it says what tantivy says, and which chunks it looks at."""

import numpy as np
import pytest

from infrastructure.database.repositories.search_changes import Lengths
from infrastructure.lexical.tantivy import LexicalIndex
from services.knowledge.bm25 import alternatives, chunk_terms, rarity, weights
from services.knowledge.partition import lexical_document
from services.knowledge.text import TextAnalysis
from tests.services.knowledge.corpus import knowledge


def test_the_scores_are_those_of_the_lexical_index() -> None:
    analysis, chunks = TextAnalysis(), knowledge()
    index = LexicalIndex(None)
    index.update([], map(lexical_document, chunks), generation=1)
    terms = [chunk_terms(one, analysis) for one in chunks]
    lengths = Lengths(len(chunks), *(sum(map(len, field)) for field in zip(*terms, strict=True)))
    weighed = {one.row: weights(words, lengths) for one, words in zip(chunks, terms, strict=True)}
    for asked in ("collater", "oracl", "loan"):
        rows, scores = index.snapshot.search([asked], 10)
        rare = rarity(len(chunks), index.snapshot.document_frequency(asked))
        mine = [weighed[row].get(asked, 0.0) * rare for row in rows.tolist()]
        assert np.allclose(mine, scores, rtol=0.15)  # there each field has a rarity of its own, and rounded lengths
    index.close()


def test_a_term_is_the_rarer_the_fewer_hold_it() -> None:
    assert rarity(100, 0) > rarity(100, 1) > rarity(100, 99) > 0
    assert rarity(5, 9) > 0  # counted before some were removed


@pytest.mark.parametrize(
    ("held", "chosen"),
    [
        ({"rare": 3, "more": 20, "none": 0}, [("rare",), ("more",)]),
        ({"rare": 3, "common": 900}, [("rare",)]),
        ({"common": 900, "other": 800, "third": 160}, [("third", "other")]),
        ({"common": 400, "other": 500, "third": 600}, [("common", "other", "third")]),
        ({"common": 900, "other": 950}, [("common", "other")]),
        ({"everywhere": 1000}, [("everywhere",)]),
        ({"none": 0}, []),
        ({}, []),
    ],
)
def test_terms_are_looked_for_so_that_few_chunks_hold_them(held: dict[str, int], chosen: list[tuple[str, ...]]) -> None:
    assert alternatives(held, 1000, 150) == chosen


def test_many_common_terms_are_combined_within_the_bound() -> None:
    held = {f"term{n}": 3000 + n for n in range(60)}
    chosen = alternatives(held, 10_000, 2000)
    assert {len(one) for one in chosen} == {2}
    assert sum(10_000 * 0.3**2 for _ in chosen) <= 2000
