"""Vectors kept as suits how many they are: few exactly, many in an index."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from infrastructure.vectors.blocks import BlockSnapshot
from infrastructure.vectors.faiss import index_vectors, sample_size
from infrastructure.vectors.numpy import Rows, Vectors, VectorSnapshot

FAISS_FROM = 50_000
"""Vectors above which an index is worth it: there an exact search takes 1.5 ms, and a change copies 50 MB."""
_PIECE = 8192  # vectors that an index is given at a time

AnyVectors = VectorSnapshot | BlockSnapshot


def settled(vectors: AnyVectors, faiss_from: int = FAISS_FROM) -> AnyVectors:
    """The same vectors as they should be kept; `vectors` itself if they are kept so. Building an index blocks, for
    up to 20 µs a vector.
    """
    if isinstance(vectors, VectorSnapshot):
        return vectors if vectors.size <= faiss_from else _indexed(vectors, np.arange(vectors.size), vectors.rows)
    if vectors.size <= faiss_from // 2:  # not at the bound, else it would be built again and again
        return vectors.exact()
    if not vectors.stale:
        return vectors
    positions = vectors.all_positions()
    return _indexed(vectors, positions, vectors.rows_at(positions))


class VectorPile:
    """Vectors that are on their way into a snapshot, batch by batch. When they are many they are held in float16, as
    their index keeps no more.
    """

    def __init__(self, faiss_from: int = FAISS_FROM) -> None:
        self._faiss_from = faiss_from
        self._rows: list[Rows] = []
        self._batches: list[npt.NDArray[np.floating]] = []
        self._size = 0

    def add(self, rows: Sequence[int], vectors: Vectors) -> None:
        self._rows.append(np.array(rows, np.int64))
        self._batches.append(vectors.astype(np.float16) if self._size > self._faiss_from else vectors)
        self._size += len(rows)

    def snapshot(self, dimensions: int) -> AnyVectors:
        """All of them; the pile is spent afterwards."""
        rows = np.concatenate([np.empty(0, np.int64), *self._rows])
        if self._size > self._faiss_from:
            return BlockSnapshot(index_vectors(rows, self._sample(), self._taken()))
        nothing = np.empty((0, dimensions), np.float32)
        return VectorSnapshot.empty(dimensions).replace([], rows, np.concatenate([nothing, *self._taken()]))

    def _sample(self) -> Vectors:
        """Some vectors out of every batch, as many as an index wants."""
        wanted, chance = sample_size(self._size) / self._size, np.random.default_rng(0)
        some = [batch[chance.random(len(batch)) <= wanted] for batch in self._batches]
        return np.concatenate(some, dtype=np.float32)

    def _taken(self) -> Iterator[Vectors]:
        """The batches in their order; each is let go of when the next one is asked for."""
        self._batches.reverse()
        while self._batches:
            yield self._batches.pop().astype(np.float32, copy=False)


def _indexed(vectors: AnyVectors, positions: Rows, rows: Rows) -> BlockSnapshot:
    count = len(positions)
    some = np.sort(np.random.default_rng(0).choice(count, sample_size(count), replace=False))
    pieces = (vectors.vectors_at(positions[at : at + _PIECE]) for at in range(0, count, _PIECE))
    return BlockSnapshot(index_vectors(rows, vectors.vectors_at(positions[some]), pieces))
