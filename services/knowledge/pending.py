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
        self.model = ""
        self.generation: int | None = None
        self.changes = 0
        """How many there are, the last of which made `generation`; each follows on the one before."""
        self.since = time.monotonic()

    def fits(self, model: str) -> bool:
        """Whether vectors of `model` can be added: all that are pending are of one model."""
        return not self.added or self.model == model

    def follows(self, generation: int) -> bool:
        """Whether nobody else made a change between what is pending and this one."""
        return self.generation is None or generation == self.generation + 1

    def remove(self, removed: Sequence[int], generation: int) -> None:
        if self.generation is None:
            self.since = time.monotonic()
        self.removed.extend(removed)
        self.generation = generation
        self.changes += 1

    def add(
        self, removed: Sequence[int], added: Sequence[ChunkRecord], vectors: Vectors, model: str, generation: int
    ) -> None:
        """`vectors` are by `model`, a row for each of `added`."""
        self.remove(removed, generation)
        if added:
            self.added.extend(added)
            self.vectors.append(vectors)
            self.model = model

    @property
    def is_due(self) -> bool:
        return len(self.added) >= PUBLISH_CHUNKS or time.monotonic() - self.since >= PUBLISH_SECONDS
