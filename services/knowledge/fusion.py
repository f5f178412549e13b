"""Two rankings into one: what the words say and what the vectors say, as a weighted sum of absolute scores.

BM25 is divided by the most that the question could reach (each of its terms saturated in one chunk), so that a
question that is hardly met keeps a low score; dividing by the best hit's score would hide that. Equal reciprocal-rank
fusion loses to BM25 alone here. Weights by `make eval` over XQuAD and Cranfield: all of 0.5 to 0.7
for the vectors and 0.15 to 0.3 for neighbours are within a point of each other.
"""

from typing import NamedTuple

import numpy as np

from infrastructure.vectors.blocks import BlockSnapshot
from infrastructure.vectors.numpy import Rows, Scores, Vectors, VectorSnapshot, inner_products, top_positions
from services.knowledge.curated import CuratedQuestions

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
    within: Rows | None = None,
) -> list[Candidate]:
    """The best `limit` chunks, best first. `cosines` has one for each row of `vectors`; `lexical` is rows and their
    BM25 scores; `possible` is the highest BM25 score that the question could get. With `within`, which are positions,
    other chunks are not looked at.
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
    if within is not None:
        inside, fused = fused[within], np.full(vectors.size, -1, np.float32)
        fused[within] = inside
        limit = min(limit, len(within))
    best = top_positions(fused, limit)
    return _candidates(vectors.rows[best], best, shares[best], cosines[best], fused[best])


def all_cosines(vectors: VectorSnapshot, curated: CuratedQuestions, vector: Vectors) -> Scores:
    """How close each chunk is to a question's unit vector: a curated entry as its own question is, if closer."""
    cosines = vectors.scores(vector)
    places = vectors.positions(curated.rows)
    cosines[places] = np.maximum(cosines[places], inner_products(curated.vectors, vector))
    return cosines


def near_candidates(
    vectors: BlockSnapshot,
    curated: CuratedQuestions,
    vector: Vectors,
    lexical: tuple[Rows, Scores],
    possible: float,
    limit: int,
    within: Rows | None = None,
) -> list[Candidate]:
    """As `candidates` over `all_cosines`, without a look at most chunks. `curated` are those of the chunks looked at.

    Only what is among the `limit` nearest, the lexical hits or the `limit` closest curated questions can be among the
    best `limit`: a chunk that is none of these has no share of BM25, and there are `limit` chunks whose cosine is as
    high. So all that can be lost is what the index does not find near.
    """
    asked = inner_products(curated.vectors, vector)
    rows = np.concatenate([lexical[0], curated.rows[top_positions(asked, limit)]])
    nearest, _ = vectors.nearest(vector, limit, within)
    positions = np.union1d(nearest, vectors.positions(rows))
    positions = positions[positions >= 0]
    rows = vectors.rows_at(positions)
    known = np.isin(curated.rows, rows)
    cosines = np.maximum(vectors.scores_at(positions, vector), _of(rows, curated.rows[known], asked[known], -1.0))
    shares = _of(rows, *lexical, 0.0) / np.float32(possible) if possible > 0 else np.zeros(len(rows), np.float32)
    fused = np.maximum(cosines, 0) * np.float32(VECTOR_WEIGHT) + shares
    best = top_positions(fused, limit)
    return _candidates(rows[best], positions[best], shares[best], cosines[best], fused[best])


def _of(rows: Rows, known: Rows, values: Scores, other: float) -> Scores:
    """The value of each of `rows`: `values` has one for each of `known`, `other` is that of the rest."""
    value = dict(zip(known.tolist(), values.tolist(), strict=True))
    return np.array([value.get(row, other) for row in rows.tolist()], np.float32)


def _candidates(rows: Rows, positions: Rows, shares: Scores, cosines: Scores, fused: Scores) -> list[Candidate]:
    columns = (rows, positions, shares, cosines, fused)
    return [Candidate(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def near_pairs(vectors: Vectors, threshold: float) -> list[tuple[int, int]]:
    """Pairs (earlier, later) of rows of `vectors`, unit vectors of shape (n, d), that are closer than `threshold`."""
    close = vectors @ vectors.T > threshold
    if np.count_nonzero(close) <= len(vectors):  # each is close to itself, and to no other
        return []
    return [(int(first), int(second)) for first, second in np.argwhere(np.triu(close, 1))]
