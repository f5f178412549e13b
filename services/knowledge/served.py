"""What is searched with one embedding model: vectors, calibration and questions' vectors are always of the same one."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from services.embeddings import Embeddings
from services.knowledge.partition import Partition
from services.knowledge.records import ChunkRecord
from services.knowledge.retrieval import Retriever

Vectors = npt.NDArray[np.float32]
Batch = tuple[Sequence[ChunkRecord], Vectors]


class ChunkSource(Protocol):
    """Where chunks are read from, with the vectors of one model."""

    async def fetch(self, rows: Sequence[int]) -> list[ChunkRecord]:
        """The records of rows that memory no longer holds; a row that is gone is left out."""

    def batches(self, partition: str) -> AsyncIterator[Batch]:
        """Every chunk of a partition that can be found, with its vector; zeros where it has none."""

    async def generation(self, partition: str) -> int: ...


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
