"""Two rankings into one: what the words say and what the vectors say, as a weighted sum of absolute scores.

BM25 is divided by the most that the question could reach (each of its terms saturated in one chunk), so that a
question that is hardly met keeps a low score; dividing by the best hit's score would hide that. Equal reciprocal-rank
fusion loses to BM25 alone here. Weights by `tests/evaluation/retrieval.py` over XQuAD and Cranfield: all of 0.5 to 0.7
for the vectors and 0.15 to 0.3 for neighbours are within a point of each other.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from infrastructure.vectors.numpy import Rows, Scores, Vectors, VectorSnapshot, top_positions

VECTOR_WEIGHT = 0.6
ADJACENCY_WEIGHT = 0.2
HIGHEST = 1.0 + VECTOR_WEIGHT + ADJACENCY_WEIGHT
BM25_SATURATION = 2.2  # k1 + 1: the most that one term's weight is multiplied by


class Candidate(NamedTuple):
    """A chunk that both rankings were asked about. `lexical` is in about [0, 1], `cosine` in [-1, 1]."""

    row: int
    position: int  # in its partition's vectors
    lexical: float
    cosine: float
    fused: float


def candidates(
    vectors: VectorSnapshot,
    cosines: Scores,
    lexical: tuple[Rows, Scores],
    possible: float,
    limit: int,
    outside: npt.NDArray[np.bool_] | None = None,
) -> list[Candidate]:
    """The best `limit` chunks, best first. `cosines` has one for each row of `vectors`; `lexical` is rows and their
    BM25 scores; `possible` is the highest BM25 score that the question could get. Chunks that are `outside` are not
    looked at.
    """
    if not vectors.size:
        return []
    shares: Scores = np.zeros(vectors.size, np.float32)
    positions = vectors.positions(lexical[0])
    known = positions >= 0
    if possible > 0:
        shares[positions[known]] = lexical[1][known] / possible
    fused: Scores = np.maximum(cosines, 0) * np.float32(VECTOR_WEIGHT)
    fused += shares
    if outside is not None:
        fused[outside] = -1.0
        limit = min(limit, vectors.size - int(np.count_nonzero(outside)))
    best = top_positions(fused, limit)
    columns = (vectors.rows[best], best, shares[best], cosines[best], fused[best])
    return [Candidate(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def near_pairs(vectors: Vectors, threshold: float) -> list[tuple[int, int]]:
    """Pairs (earlier, later) of rows of `vectors`, unit vectors of shape (n, d), that are closer than `threshold`."""
    close = vectors @ vectors.T > threshold
    if np.count_nonzero(close) <= len(vectors):  # each is close to itself, and to no other
        return []
    return [(int(first), int(second)) for first, second in np.argwhere(np.triu(close, 1))]
