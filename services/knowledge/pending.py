"""Changes on their way from the database to the search index."""

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from services.knowledge.records import ChunkRecord

Vectors = npt.NDArray[np.float32]

PUBLISH_CHUNKS = 1000
PUBLISH_SECONDS = 0.5


class PendingChanges:
    """Changes that are in the database and not yet in the search index.

    A commit of the lexical index costs some 30 ms, whatever is in it: documents that come in a row share one.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.removed: list[int] = []
        self.added: list[ChunkRecord] = []
        self.vectors: list[Vectors] = []
        self.generation: int | None = None
        self.since = time.monotonic()

    def add(self, removed: Sequence[int], added: Sequence[ChunkRecord], vectors: Vectors, generation: int) -> None:
        if self.generation is None:
            self.since = time.monotonic()
        self.removed.extend(removed)
        self.added.extend(added)
        self.vectors.append(vectors)
        self.generation = generation

    @property
    def is_due(self) -> bool:
        return len(self.added) >= PUBLISH_CHUNKS or time.monotonic() - self.since >= PUBLISH_SECONDS
