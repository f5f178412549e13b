"""Vectors of many chunks: one large index, and beside it what has changed since it was built.

A change marks rows of the index as gone and puts new ones into small exact blocks, so it copies what is new and no
more. Blocks of about the same size become one, so there are few; when they, or what is gone, outweigh a tenth of the
index, it is time to build it anew.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from infrastructure.vectors.numpy import Mask, Rows, Scores, Vectors, VectorSnapshot, inner_products, top_positions

STALE = 0.1  # of the index


class Block(Protocol):
    """Vectors in the ascending order of their rows. `VectorSnapshot` is one, `IndexedVectors` another."""

    @property
    def rows(self) -> Rows: ...

    @property
    def dimensions(self) -> int: ...

    @property
    def size(self) -> int: ...

    def positions(self, rows: Rows) -> Rows: ...

    def vectors_at(self, positions: Rows) -> Vectors: ...

    def nearest(
        self, query: Vectors, limit: int, allowed: Mask | None = None, *, thorough: bool = False
    ) -> tuple[Rows, Scores]: ...


@dataclass(frozen=True, slots=True)
class _Part:
    """A block and which of its rows are still here: `size` of them; None is all. Its positions count from `first`."""

    block: Block
    size: int
    left: Mask | None = None
    first: int = 0

    @property
    def end(self) -> int:
        return self.first + self.block.size

    def without(self, rows: Rows) -> "_Part":
        here = self.positions(rows)
        here = here[here >= 0]
        if not len(here):
            return self
        left = np.ones(self.block.size, np.bool_) if self.left is None else self.left.copy()
        left[here - self.first] = False
        return replace(self, left=left, size=int(np.count_nonzero(left)))

    def positions(self, rows: Rows) -> Rows:
        """Where each of `rows` stands; -1 for one that is not, or no longer, here."""
        here = self.block.positions(rows)
        known = here >= 0 if self.left is None else (here >= 0) & self.left[here]
        return np.where(known, here + self.first, -1)

    def all_positions(self) -> Rows:
        here = np.arange(self.block.size) if self.left is None else np.flatnonzero(self.left)
        return here + self.first

    def exact(self) -> VectorSnapshot:
        here = self.all_positions() - self.first
        return VectorSnapshot(self.block.rows[here], self.block.vectors_at(here))


class BlockSnapshot:
    """Vectors by row, as `VectorSnapshot`, for many of them. Never changed once made.

    A position is the number of a vector in this snapshot and no other. Those of removed vectors are left out.
    """

    def __init__(self, index: Block) -> None:
        self._parts: tuple[_Part, ...] = (_Part(index, index.size),)
        self.dimensions = index.dimensions
        self.size = index.size

    @property
    def stale(self) -> bool:
        """Whether so much has changed since the index was built that it should be built anew."""
        index = self._parts[0]
        return max(self.size - index.size, index.block.size - index.size) > STALE * index.block.size

    def positions(self, rows: Rows) -> Rows:
        """Where each of `rows` stands; -1 for one that is not there."""
        found = np.full(len(rows), -1, np.int64)
        for part in self._parts:
            found = np.maximum(found, part.positions(rows))
        return found

    def all_positions(self) -> Rows:
        return np.concatenate([part.all_positions() for part in self._parts])

    def rows_at(self, positions: Rows) -> Rows:
        rows = np.empty(len(positions), np.int64)
        for part, mine in self._shares(positions):
            rows[mine] = part.block.rows[positions[mine] - part.first]
        return rows

    def vectors_at(self, positions: Rows) -> Vectors:
        """The vectors at `positions`, in their order: shape (n, d)."""
        vectors = np.empty((len(positions), self.dimensions), np.float32)
        for part, mine in self._shares(positions):
            vectors[mine] = part.block.vectors_at(positions[mine] - part.first)
        return vectors

    def scores_at(self, positions: Rows, query: Vectors) -> Scores:
        """The inner products of `query` with the vectors at `positions`."""
        return inner_products(self.vectors_at(positions), query)

    def nearest(self, query: Vectors, limit: int, within: Rows | None = None) -> tuple[Rows, Scores]:
        """The positions of the `limit` vectors nearest to `query`, nearest first, and how near they are. One may be
        missed. With `within`, which are positions, no others are looked at, and none of these is missed.
        """
        found = [self._nearest_of(part, query, limit, within) for part in self._parts]
        positions = np.concatenate([some for some, _ in found])
        scores = np.concatenate([some for _, some in found])
        best = top_positions(scores, limit)
        return positions[best], scores[best]

    def replace(self, removed: Iterable[int], rows: Iterable[int], vectors: Vectors) -> "BlockSnapshot":
        """A snapshot without the rows of `removed`, and with `rows` and their `vectors`; a row that was there already
        gets its new vector.

        Raises:
            ValueError: not one vector for each row, or of other dimensions.
        """
        fresh = VectorSnapshot.empty(self.dimensions).replace([], rows, vectors)
        gone = np.concatenate([np.fromiter(removed, np.int64), fresh.rows])
        index, *others = [part.without(gone) for part in self._parts]
        return self._of([index, *_merged([*others, _Part(fresh, fresh.size)])])

    def exact(self) -> VectorSnapshot:
        """The same vectors without an index."""
        return _joined(self._parts)

    @classmethod
    def _of(cls, parts: Sequence[_Part]) -> "BlockSnapshot":
        snapshot = cls(parts[0].block)
        ends = np.cumsum([0, *(part.block.size for part in parts)]).tolist()
        snapshot._parts = tuple(replace(part, first=first) for part, first in zip(parts, ends, strict=False))
        snapshot.size = sum(part.size for part in parts)
        return snapshot

    def _shares(self, positions: Rows) -> Iterator[tuple[_Part, Mask]]:
        """The parts that hold any of `positions`, and which of these."""
        for part in self._parts:
            mine = (positions >= part.first) & (positions < part.end)
            if mine.any():
                yield part, mine

    def _nearest_of(self, part: _Part, query: Vectors, limit: int, within: Rows | None) -> tuple[Rows, Scores]:
        allowed = part.left
        if within is not None:
            allowed = np.zeros(part.block.size, np.bool_)
            allowed[within[(within >= part.first) & (within < part.end)] - part.first] = True
        positions, scores = part.block.nearest(query, limit, allowed, thorough=within is not None)
        return positions + part.first, scores


def _merged(parts: Sequence[_Part]) -> list[_Part]:
    """The same in few blocks: each has more than twice as many rows as the next, so a row is copied few times."""
    few: list[_Part] = []
    for part in parts:
        if part.size:
            few.append(part)
        while len(few) > 1 and 2 * few[-1].size >= few[-2].size:
            both = _joined(few[-2:])
            few[-2:] = [_Part(both, both.size)]
    return few


def _joined(parts: Sequence[_Part]) -> VectorSnapshot:
    first, *others = [part.exact() for part in parts]
    rows = [row for other in others for row in other.rows.tolist()]
    return first.replace([], rows, np.concatenate([first.vectors[:0], *(other.vectors for other in others)]))
