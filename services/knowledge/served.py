"""What is searched with one embedding model: vectors, calibration and questions' vectors are always of the same one."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from infrastructure.database.models import SHARED
from services.embeddings import Embeddings
from services.knowledge.partition import Partition
from services.knowledge.records import ChunkRecord
from services.knowledge.retrieval import Retriever

Vectors = npt.NDArray[np.float32]
Batch = tuple[Sequence[ChunkRecord], Vectors]
HeldRows = Callable[[Collection[str]], tuple[frozenset[int], frozenset[int]]]
"""Tells of documents which rows an index has in whole, and of which it has anything."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What makes an index of one generation of a partition into one of `generation`. `whole`: every vector is there."""

    removed: Sequence[int]
    added: Sequence[ChunkRecord]
    vectors: Vectors
    generation: int
    whole: bool


class ChunkSource(Protocol):
    """Where chunks are read from, with the vectors of one model."""

    async def fetch(self, rows: Sequence[int]) -> list[ChunkRecord]:
        """The records of rows that memory no longer holds; a row that is gone is left out."""

    def batches(self, partition: str) -> AsyncIterator[Batch]:
        """Every chunk of a partition that can be found, with its vector; zeros where it has none."""

    async def generation(self, partition: str) -> int: ...

    async def generations(self, partitions: Sequence[str]) -> dict[str, int]:
        """How often each has changed, but for those that never have."""

    async def tells(self, partition: str, since: int, generation: int) -> bool:
        """Whether `changes` can tell what came between the two."""

    async def changes(self, partition: str, since: int, held: HeldRows) -> Changes | None:
        """What came after `since`, or the first of it; None where that cannot be told. `held` is asked what is there
        already."""


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A search takes it once, when it begins, and stays with it. Owners' partitions are in the order of their use."""

    embeddings: Embeddings
    source: ChunkSource
    retriever: Retriever
    shared: Partition
    owned: OrderedDict[str, Partition] = field(default_factory=OrderedDict)
    loading: dict[str, asyncio.Task[Partition]] = field(default_factory=dict)

    @property
    def dimensions(self) -> int:
        return self.shared.dimensions

    def part(self, partition: str) -> Partition | None:
        """A partition, if it is in memory."""
        return self.shared if partition == SHARED else self.owned.get(partition)
