"""Embeddings: batched, cached, and the same vectors either way."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from infrastructure.cache_store import CacheStore
from services.cache import CacheManager
from services.embeddings import Embeddings, Vectors


class LetterEmbedder:
    """Counts letters: a small embedder that works."""

    dimensions = 26

    def __init__(self, model: str = "letters") -> None:
        self.model = model
        self.batches: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.batches.append(list(texts))
        counts = np.array([[text.count(chr(97 + n)) for n in range(26)] for text in texts], np.float32)
        return np.asarray(counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9), np.float32)


@pytest.fixture
async def cache(tmp_path: Path) -> AsyncIterator[CacheManager]:
    cache = CacheManager(CacheStore(tmp_path), max_bytes=1_000_000, expiry_days=1)
    await cache.open()
    yield cache
    await cache.close()


async def test_texts_are_embedded_in_batches() -> None:
    embedder = LetterEmbedder()
    texts = [f"text {n} abc" for n in range(10)]
    vectors = await Embeddings(embedder, batch=4).embed(texts)
    assert [len(batch) for batch in embedder.batches] == [4, 4, 2]
    assert vectors.dtype == np.float32
    assert np.array_equal(vectors, LetterEmbedder().embed(texts))


async def test_no_texts_give_no_rows(cache: CacheManager) -> None:
    assert (await Embeddings(LetterEmbedder(), cache).embed([])).shape == (0, 26)


async def test_a_text_is_embedded_once_and_comes_back_bit_for_bit(cache: CacheManager) -> None:
    embedder = LetterEmbedder()
    embeddings = Embeddings(embedder, cache)
    first = await embeddings.embed(["abc", "aabb"])
    second = await embeddings.embed(["aabb", "new", "abc"])
    assert embedder.batches == [["abc", "aabb"], ["new"]]
    assert np.array_equal(second[[2, 0]], first)


async def test_another_model_has_entries_of_its_own(cache: CacheManager) -> None:
    await Embeddings(LetterEmbedder(), cache).embed(["abc"])
    other = LetterEmbedder("other letters")
    await Embeddings(other, cache).embed(["abc"])
    assert other.batches == [["abc"]]


async def test_an_entry_of_the_wrong_length_is_not_taken(cache: CacheManager) -> None:
    from services.cache import cache_key
    from services.embeddings import NAMESPACE

    await cache.put_many(NAMESPACE, [(cache_key("letters", "26", "abc"), b"short")])
    embedder = LetterEmbedder()
    vectors = await Embeddings(embedder, cache).embed(["abc"])
    assert np.array_equal(vectors, LetterEmbedder().embed(["abc"]))
