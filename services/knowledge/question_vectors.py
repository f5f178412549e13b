"""The vectors of questions, where the model that makes them may be away."""

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import structlog

from infrastructure.errors import ProviderError
from services.embeddings import Embeddings

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
Vectors = npt.NDArray[np.float32]

AWAY_SECONDS = 5.0  # for which a model that failed to embed a question is not asked again


class QuestionVectors:
    """Zeros stand for the vectors of a model that is away, so that words alone find what they can."""

    def __init__(self) -> None:
        self._away_until = 0.0

    async def asked(self, embeddings: Embeddings, query: str) -> Vectors:
        """The vector of what somebody asks, shape (d,)."""
        vector = embeddings.query_now(query)
        if vector is not None:
            return vector
        if time.monotonic() >= self._away_until:
            try:
                return await embeddings.query(query)
            except ProviderError as error:
                self._away_until = time.monotonic() + AWAY_SECONDS
                log.warning("question not embedded", kind=error.kind)
        return np.zeros(embeddings.dimensions, np.float32)

    async def curated(self, embeddings: Embeddings, questions: Sequence[str]) -> tuple[Vectors, bool]:
        """The vectors of curated questions, shape (n, d), and whether they are there."""
        try:
            return await embeddings.embed(questions), True
        except ProviderError as error:
            log.warning("curated questions not embedded", kind=error.kind)
            return np.zeros((len(questions), embeddings.dimensions), np.float32), False

    def ask_again(self) -> None:
        """Forget that a model was away: there is another."""
        self._away_until = 0.0
