"""Two rankings into one: over all chunks, and over those that can be among the best."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infrastructure.vectors.blocks import BlockSnapshot
from infrastructure.vectors.numpy import VectorSnapshot
from infrastructure.vectors.sized import settled
from services.knowledge.curated import CuratedQuestions
from services.knowledge.fusion import Candidate, all_cosines, candidates, near_candidates, near_pairs
from tests.services.knowledge.corpus import entry

COUNT, WIDTH = 400, 8
CHANCE = np.random.default_rng(0)


def unit_vectors(count: int) -> np.ndarray:
    vectors = CHANCE.standard_normal((count, WIDTH), np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


FEW = VectorSnapshot.empty(WIDTH).replace([], range(0, 2 * COUNT, 2), unit_vectors(COUNT))
ENTRIES = [entry(row, f"What is {row}?", "It.") for row in range(100, 180, 2)]
CURATED = CuratedQuestions.of(ENTRIES, unit_vectors(len(ENTRIES)))


def many() -> BlockSnapshot:
    """`FEW` as it comes out of an index that was changed."""
    more = FEW.replace([0, 2], [1, 3], unit_vectors(2))
    snapshot = settled(more, COUNT // 2)
    assert isinstance(snapshot, BlockSnapshot)
    return snapshot.replace([1, 3], [0, 2], FEW.vectors[:2])


MANY = many()


def told(one: Candidate) -> tuple[float, ...]:
    return one.lexical, one.cosine, one.fused


@given(st.integers(0, 10_000), st.integers(0, 64), st.integers(1, 40), st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_best_of_the_near_are_the_best_of_all(seed: int, hits: int, limit: int, restricted: bool) -> None:
    chance = np.random.default_rng(seed)
    query = chance.standard_normal(WIDTH).astype(np.float32)
    query /= np.linalg.norm(query)
    allowed = np.sort(chance.choice(COUNT, 50, replace=False)) if restricted else np.arange(COUNT)
    rows = chance.permutation(FEW.rows[allowed])[:hits]
    lexical = rows, np.sort(chance.random(len(rows)).astype(np.float32))[::-1] * 8
    within = allowed if restricted else None
    kept = np.flatnonzero(np.isin(CURATED.rows, FEW.rows[allowed]))
    inside = CuratedQuestions.of([ENTRIES[n] for n in kept], CURATED.vectors[kept])
    places = None if within is None else MANY.positions(FEW.rows[within])
    exact = candidates(FEW, all_cosines(FEW, CURATED, query), lexical, 10.0, COUNT, within)
    near = near_candidates(MANY, inside, query, lexical, 10.0, limit, places)
    assert [one.fused for one in near] == pytest.approx([one.fused for one in exact[:limit]], abs=1e-3)
    of_all = {one.row: told(one) for one in exact}
    for one in near:
        assert told(one) == pytest.approx(of_all[one.row], abs=1e-3)
    assert MANY.rows_at(np.array([one.position for one in near])).tolist() == [one.row for one in near]


def test_a_lexical_hit_that_the_vectors_do_not_have_is_left_out() -> None:
    lexical = np.array([12_345]), np.array([9.0], np.float32)
    query = unit_vectors(1)[0]
    for found in (
        candidates(FEW, all_cosines(FEW, CURATED, query), lexical, 10.0, 16),
        near_candidates(MANY, CURATED, query, lexical, 10.0, 16),
    ):
        assert len(found) == 16
        assert all(one.lexical == 0 for one in found)


def test_a_question_without_a_known_word_is_ranked_by_vectors_alone() -> None:
    nothing = np.empty(0, np.int64), np.empty(0, np.float32)
    query = FEW.vectors[17]
    assert near_candidates(MANY, CURATED, query, nothing, 0.0, 1)[0].row == FEW.rows[17]
    assert candidates(FEW, all_cosines(FEW, CURATED, query), nothing, 0.0, 1)[0].row == FEW.rows[17]


def test_without_chunks_there_are_no_candidates() -> None:
    nothing = np.empty(0, np.int64), np.empty(0, np.float32)
    assert candidates(VectorSnapshot.empty(2), np.empty(0, np.float32), nothing, 1.0, 5) == []


def test_pairs_of_near_vectors_are_told_once() -> None:
    vectors = np.array([[1, 0], [0, 1], [1, 0.01], [0, 1]], np.float32)
    assert near_pairs(vectors, 0.97) == [(0, 2), (1, 3)]
    assert near_pairs(vectors[:2], 0.97) == []
