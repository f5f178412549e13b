"""Embeddings: batched, cached, and the same vectors either way."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from infrastructure.cache_store import CacheStore
from infrastructure.errors import ProviderProtocolError, ProviderRejected, ProviderUnavailable
from services import embeddings as module
from services.cache import CacheManager
from services.embeddings import Embeddings, Purpose, Vectors


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


class RemoteEmbedder:
    """A model that is waited for: letters, and a 27th number that tells questions from passages."""

    name = "remote letters"

    def __init__(self, width: int = 27) -> None:
        self.width = width
        self.known = False
        self.asked: list[tuple[list[str], Purpose]] = []
        self.at_work = self.most_at_work = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.fault: Exception | None = None
        self.closed = False
        self._arrivals: asyncio.Queue[None] = asyncio.Queue()

    async def was_asked(self, times: int) -> None:
        for _ in range(times):
            await self._arrivals.get()

    @property
    def dimensions(self) -> int:
        if not self.known:
            raise ProviderUnavailable("not yet")
        return self.width

    async def embed(self, texts: Sequence[str], purpose: Purpose = "passage") -> Vectors:
        self.asked.append((list(texts), purpose))
        self._arrivals.put_nowait(None)
        if "bad" in texts:
            raise ProviderRejected("no")
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            await self.gate.wait()
            if self.fault is not None:
                raise self.fault
        finally:
            self.at_work -= 1
        self.known = True
        vectors = np.zeros((len(texts), self.width), np.float32)
        vectors[:, :26] = LetterEmbedder().embed(texts)
        vectors[:, -1] = purpose == "query"
        return vectors

    async def aclose(self) -> None:
        self.closed = True


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


async def test_a_question_of_a_local_model_is_embedded_at_once() -> None:
    embedder = LetterEmbedder()
    embeddings = Embeddings(embedder)
    now = embeddings.query_now("abc")
    assert embeddings.local is embedder
    assert now is not None
    assert now.shape == (26,)
    assert np.array_equal(await embeddings.query("abc"), now)


async def test_a_question_of_a_remote_model_is_waited_for_and_asked_once() -> None:
    embedder = RemoteEmbedder()
    embeddings = Embeddings(embedder)
    assert embeddings.local is None
    assert embeddings.query_now("abc") is None
    first = await embeddings.query("abc")
    assert first.shape == (27,)
    assert first[-1] == 1
    assert await embeddings.query("abc") is first
    assert embedder.asked == [(["abc"], "query")]


async def test_a_question_and_a_passage_of_the_same_words_are_kept_apart(cache: CacheManager) -> None:
    embeddings = Embeddings(RemoteEmbedder(), cache)
    await embeddings.open()
    passage, question = (await embeddings.embed(["abc"]))[0], await embeddings.query("abc")
    assert (passage[-1], question[-1]) == (0, 1)


async def test_a_question_is_remembered_by_the_cache_after_a_restart(cache: CacheManager) -> None:
    before, after = RemoteEmbedder(), RemoteEmbedder()
    first = Embeddings(before, cache)
    await first.open()
    vector = await first.query("abc")
    again = Embeddings(after, cache)
    await again.open()
    assert np.array_equal(await again.query("abc"), vector)
    assert after.asked == []


async def test_only_so_many_questions_are_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUERIES_KEPT", 2)
    embedder = RemoteEmbedder()
    embeddings = Embeddings(embedder)
    for text in ("a", "b", "a", "c", "a", "b"):
        await embeddings.query(text)
    assert [texts for texts, _ in embedder.asked] == [["a"], ["b"], ["c"], ["b"]]


async def test_a_question_is_given_up_when_its_time_is_over() -> None:
    embedder = RemoteEmbedder()
    embedder.gate.clear()
    with pytest.raises(ProviderUnavailable, match="too long"):
        await Embeddings(embedder, query_seconds=0.01).query("abc")
    assert embedder.at_work == 0


async def test_a_timeout_that_is_not_its_own_passes_through() -> None:
    embedder = RemoteEmbedder()
    embedder.fault = TimeoutError("another's")
    with pytest.raises(TimeoutError, match="another's"):
        await Embeddings(embedder).query("abc")


async def test_only_so_many_batches_are_with_the_model_and_a_question_passes_them() -> None:
    embedder = RemoteEmbedder()
    embedder.gate.clear()
    embeddings = Embeddings(embedder, batch=1, concurrency=2)
    indexing = asyncio.create_task(embeddings.embed(["a", "b", "c", "d"]))
    asking = asyncio.create_task(embeddings.query("question"))
    await embedder.was_asked(3)
    assert sorted(purpose for _, purpose in embedder.asked) == ["passage", "passage", "query"]
    embedder.gate.set()
    assert (await indexing).shape == (4, 27)
    await asking
    assert embedder.most_at_work == 3


async def test_a_batch_that_fails_ends_the_others() -> None:
    embedder = RemoteEmbedder()
    embedder.gate.clear()
    with pytest.raises(ProviderRejected):
        await Embeddings(embedder, batch=1, concurrency=2).embed(["a", "bad", "c", "d"])
    assert embedder.at_work == 0
    assert len(embedder.asked) <= 3


async def test_leaving_ends_what_was_begun() -> None:
    embedder = RemoteEmbedder()
    embedder.gate.clear()
    indexing = asyncio.create_task(Embeddings(embedder, batch=1, concurrency=2).embed(["a", "b", "c"]))
    await embedder.was_asked(2)
    indexing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await indexing
    assert (embedder.at_work, len(embedder.asked)) == (0, 2)


async def test_opening_learns_the_dimensions_once_for_all_starts(cache: CacheManager) -> None:
    with pytest.raises(ProviderUnavailable):
        _ = Embeddings(RemoteEmbedder(), cache).dimensions
    for times in (1, 0):
        embedder = RemoteEmbedder()
        embeddings = Embeddings(embedder, cache)
        await embeddings.open()
        assert (embeddings.dimensions, len(embedder.asked)) == (27, times)
    await embeddings.aclose()
    assert embedder.closed


async def test_a_local_models_dimensions_need_no_question() -> None:
    embedder = LetterEmbedder()
    embeddings = Embeddings(embedder)
    await embeddings.open()
    assert (embeddings.dimensions, embedder.batches) == (26, [])
    await embeddings.aclose()


async def test_opening_without_cache_asks_the_model_and_fails_with_it() -> None:
    embedder = RemoteEmbedder()
    await Embeddings(embedder).open()
    assert len(embedder.asked) == 1
    away = RemoteEmbedder()
    away.fault = ProviderUnavailable("away")
    with pytest.raises(ProviderUnavailable, match="away"):
        await Embeddings(away).open()


async def test_vectors_of_another_length_than_kept_are_refused_and_learnt_anew(cache: CacheManager) -> None:
    await Embeddings(RemoteEmbedder(27), cache).open()
    embeddings = Embeddings(RemoteEmbedder(30), cache)
    await embeddings.open()
    with pytest.raises(ProviderProtocolError, match="another length"):
        await embeddings.embed(["abc"])
    anew = Embeddings(RemoteEmbedder(30), cache)
    await anew.open()
    assert (await anew.embed(["abc"])).shape == (1, 30)


async def test_what_is_forgotten_is_in_no_cache(cache: CacheManager) -> None:
    embedder = RemoteEmbedder()
    embeddings = Embeddings(embedder, cache)
    await embeddings.open()
    kept = cache.stats().size_bytes
    await embeddings.embed(["secret", "other"])
    await embeddings.query("secret")
    await embeddings.forget(["secret"])
    assert cache.stats().size_bytes == kept + 27 * 4
    embedder.asked.clear()
    await embeddings.embed(["other", "secret"])
    await embeddings.query("secret")
    assert embedder.asked == [(["secret"], "passage"), (["secret"], "query")]


async def test_forgetting_needs_neither_cache_nor_texts(cache: CacheManager) -> None:
    embedder = LetterEmbedder()
    await Embeddings(embedder).forget(["abc"])
    await Embeddings(embedder, cache).forget([])
    await Embeddings(embedder, cache).forget(["never seen"])
    await cache.close()
    await Embeddings(embedder, cache).forget(["abc"])
