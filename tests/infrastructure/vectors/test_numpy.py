"""Exact vector search."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.vectors.numpy import VectorSnapshot, top_positions


def unit(*values: float) -> np.ndarray:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


def test_scores_are_inner_products_in_the_order_of_the_rows() -> None:
    snapshot = VectorSnapshot.empty(2).replace([], [5, 9], np.stack([unit(1, 0), unit(1, 1)]))
    assert snapshot.rows.tolist() == [5, 9]
    assert snapshot.scores(unit(1, 0)) == pytest.approx([1, 0.7071], abs=1e-4)


def test_rows_are_kept_in_order_replaced_and_removed() -> None:
    first = VectorSnapshot.empty(1).replace([], [3, 7], np.array([[3], [7]], np.float32))
    second = first.replace([7], [5, 3], np.array([[5], [30]], np.float32))
    assert second.rows.tolist() == [3, 5]
    assert second.vectors.ravel().tolist() == [30, 5]
    assert first.rows.tolist() == [3, 7]


def test_a_row_that_is_not_there_has_no_position() -> None:
    snapshot = VectorSnapshot.empty(1).replace([], [3, 7], np.ones((2, 1), np.float32))
    assert snapshot.positions(np.array([7, 4, 99, 3])).tolist() == [1, -1, -1, 0]
    assert VectorSnapshot.empty(1).positions(np.array([1])).tolist() == [-1]


def test_vectors_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        VectorSnapshot.empty(2).replace([], [1], np.ones((1, 3), np.float32))


@given(st.lists(st.floats(-1, 1, width=32), max_size=60), st.integers(1, 70))
def test_the_top_positions_are_those_of_a_full_sort(values: list[float], limit: int) -> None:
    scores = np.array(values, np.float32)
    found = scores[top_positions(scores, limit)].tolist()
    assert found == sorted(scores.tolist(), reverse=True)[:limit]
