"""Which embedding model serves just now, for whoever embeds something that is to be found."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infrastructure.errors import ProviderError, ProviderUnavailable
from services.embeddings import Embeddings, Purpose, Vectors

WORDS_ONLY = "words"
"""The name of no model: its vectors are zeros, so that words alone find."""
_DIMENSIONS = 8


@dataclass(slots=True)
class ServingModel:
    """Holds the model whose vectors are searched; it changes with the search index, at once.

    Whoever works on a document takes `embeddings` once, when it begins: all of its chunks are of one model then.
    """

    embeddings: Embeddings


class WordsOnly:
    """A `LocalEmbedder` that says nothing of a text, for while no model is to be had."""

    model = WORDS_ONLY
    dimensions = _DIMENSIONS

    def embed(self, texts: Sequence[str]) -> Vectors:
        return np.zeros((len(texts), _DIMENSIONS), np.float32)


class Unopenable:
    """An `Embedder` in the place of one that could not even be made: `fault` says why, to whoever asks it."""

    def __init__(self, name: str, fault: ProviderError) -> None:
        self.name = name
        self._fault = fault

    @property
    def dimensions(self) -> int:
        raise ProviderUnavailable(self._fault.message)

    async def embed(self, texts: Sequence[str], purpose: Purpose = "passage") -> Vectors:
        raise self._fault

    async def aclose(self) -> None:
        """There is nothing to give back."""


def words_only() -> Embeddings:
    return Embeddings(WordsOnly())
