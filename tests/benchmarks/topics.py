"""Synthetic texts that have something to find: topics of words that are near to each other in meaning.

Half of a text's words are drawn from a Zipf distribution over the embedding model's own vocabulary, the other half from
its topic's: 40 words around one word, by their embeddings, and 20 made-up names that few other topics have. Texts of
words made of a few syllables would all have nearly the same vector, and what is nearest would be left to chance.
"""

import re

import numpy as np
import numpy.typing as npt

from infrastructure.embedders.wordllama import WordLlamaEmbedder

NAMES = 40_000
NEAR_WORDS = 40
TOPIC_NAMES = 20
NEIGHBOURHOOD = 200  # words that a topic's are drawn from
CHUNKS_A_TOPIC = 200
SYLLABLES = ["ba", "co", "di", "fu", "ga", "le", "mi", "no", "pe", "qua", "ri", "so", "ta", "ve", "xo", "zu"]


class Topics:
    """Texts by chance, the same ones each time."""

    def __init__(self, chunks: int, embedder: WordLlamaEmbedder) -> None:
        self._chance = np.random.default_rng(0)
        words = _vocabulary(embedder)
        vectors = embedder.embed(words)
        names = ["".join(self._chance.choice(SYLLABLES, size=size)) for size in self._chance.integers(3, 7, NAMES)]
        self._words = np.array([*self._chance.permutation(words), *names], object)
        order = {word: place for place, word in enumerate(self._words[: len(words)])}
        self._common = np.array([order[word] for word in words])  # where the words stand now
        self._up_to = np.cumsum(1 / np.arange(1, len(words) + 1) ** 1.05)
        topics = max(chunks // CHUNKS_A_TOPIC, 1)
        self._topics = np.stack([self._topic(vectors, len(words)) for _ in range(topics)])

    def texts(self, count: int, size: int) -> list[str]:
        """`count` texts of `size` words, each about one topic."""
        any_words = np.searchsorted(self._up_to, self._chance.random((count, size // 2)) * self._up_to[-1])
        topics = self._topics[self._chance.integers(len(self._topics), size=count)]
        of_topic = np.take_along_axis(topics, self._chance.integers(topics.shape[1], size=(count, size // 2)), 1)
        numbers = self._chance.permuted(np.concatenate([any_words, of_topic], axis=1), axis=1)
        return [" ".join(self._words[row]) for row in numbers]

    def _topic(self, vectors: npt.NDArray[np.float32], words: int) -> npt.NDArray[np.int64]:
        near = np.argpartition(-(vectors @ vectors[self._chance.integers(words)]), NEIGHBOURHOOD)[:NEIGHBOURHOOD]
        chosen = self._common[self._chance.choice(near, NEAR_WORDS, replace=False)]
        return np.concatenate([chosen, words + self._chance.integers(NAMES, size=TOPIC_NAMES)])


def _vocabulary(embedder: WordLlamaEmbedder) -> list[str]:
    """The whole words that the model has a vector for."""
    known = embedder._tokenizer.get_vocab()  # there is no other list of them
    return sorted(word[1:] for word in known if re.fullmatch("▁[a-z]{3,}", word))
