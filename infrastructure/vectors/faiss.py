"""Approximate search over many vectors: faiss's inverted lists around the centres of k-means, in float16.

A vector is kept once, in 2 bytes a dimension, and given back from there: a cosine is off by less than 0.001. Measured
with 256 dimensions on one core over 97,000 vectors of real sentences: 0.8 s to build, 1.4 ms a search, and 0.994 of the
exact ten nearest; over 1,000,000 20 s and 7 ms (docs/decisions/0022-faiss.md).
"""

from collections.abc import Iterable
from math import isqrt
from typing import TYPE_CHECKING

import numpy as np

from infrastructure.vectors.numpy import Mask, Rows, Scores, Vectors, find_rows

if TYPE_CHECKING:
    import faiss  # a quarter of a second to import: only where there are many vectors

LEAST_PROBES = 128
"""A search looks into so many lists, or a quarter of all where that is more: it then finds 0.994 of the ten nearest of
100,000 vectors and 0.997 of 1,000,000. With 128 lists of 1,000 it would be 0.974.
"""
SAMPLE_A_LIST = 64  # vectors that k-means sees for each list; more change nothing measurable
_ROUNDS = 10


class IndexedVectors:
    """Rows in ascending order, and their vectors in an index. Never changed once made; any thread may search it."""

    def __init__(self, rows: Rows, index: "faiss.IndexIVF") -> None:
        self.rows = rows
        self.dimensions: int = index.d
        self._index = index

    @property
    def size(self) -> int:
        return len(self.rows)

    def positions(self, rows: Rows) -> Rows:
        """Where each of `rows` stands in `self.rows`; -1 for one that is not there."""
        return find_rows(self.rows, rows)

    def vectors_at(self, positions: Rows) -> Vectors:
        """The vectors at `positions`, in their order: shape (n, d)."""
        _alone()
        found: Vectors = self._index.reconstruct_batch(positions)
        return found

    def nearest(
        self, query: Vectors, limit: int, allowed: Mask | None = None, *, thorough: bool = False
    ) -> tuple[Rows, Scores]:
        """The positions of the `limit` vectors nearest to `query`, nearest first, and how near they are. With `allowed`
        (one for each row) others are not looked at. `thorough` looks into every list, and so misses none.
        """
        import faiss

        _alone()
        parameters = faiss.SearchParametersIVF()
        parameters.nprobe = self._index.nlist if thorough else max(LEAST_PROBES, self._index.nlist // 4)
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))  # a pointer: the names keep both alive
            parameters.sel = selector
        scores, places = self._index.search(query[np.newaxis], min(limit, self.size), params=parameters)
        known = places[0] >= 0
        return places[0][known], scores[0][known]


def index_vectors(rows: Rows, sample: Vectors, pieces: Iterable[Vectors]) -> IndexedVectors:
    """An index of the vectors that `pieces` give, one after the other, for `rows` in the same order, which may be any.
    `sample` is some of them, from all parts of them: `sample_size` says how many. Blocks for 7 µs a vector where there
    are 100,000, and 20 where there are 1,000,000.
    """
    import faiss

    _alone()
    lists = min(isqrt(len(rows)), len(sample))
    width = sample.shape[1]
    half, metric = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(width), width, lists, half, metric, False)
    index.cp.niter, index.cp.spherical = _ROUNDS, True
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, SAMPLE_A_LIST  # no warning on stderr
    index.train(sample)
    order = np.argsort(rows, kind="stable")
    places = np.empty_like(order)
    places[order] = np.arange(len(rows))
    done = 0
    for piece in pieces:
        index.add_with_ids(piece, places[done : done + len(piece)])
        done += len(piece)
    index.make_direct_map()
    return IndexedVectors(rows[order], index)


def sample_size(count: int) -> int:
    """How many of `count` vectors k-means should see."""
    return min(count, SAMPLE_A_LIST * isqrt(count))


def _alone() -> None:
    """Work in the calling thread only: OpenMP keeps this for each thread, and waits for its others as BLAS does."""
    import faiss

    faiss.omp_set_num_threads(1)
