"""Search on PostgreSQL with models that are away, change, or rerank."""

from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from infrastructure.database.engine import Database
from infrastructure.database.models import SHARED, new_id
from infrastructure.errors import ProviderUnavailable
from services.embeddings import Embeddings
from services.knowledge.postgres_search import PostgresSearch
from services.knowledge.records import ChunkRecord
from services.knowledge.reranking import Reranking
from services.knowledge.served import Batch
from tests.services.knowledge.corpus import EMBEDDER, Source, chunk, knowledge
from tests.services.knowledge.postgres_knowledge import BEES, Opened, add, batches


class AwayEmbedder:
    """A model that may be away, for questions or for everything."""

    dimensions = 256

    def __init__(self, name: str) -> None:
        self.name = name
        self.away = {"query", "passage"}

    async def embed(self, given: Sequence[str], purpose: str = "passage") -> np.ndarray:
        if purpose in self.away:
            raise ProviderUnavailable("The model is away.")
        return EMBEDDER.embed(given)

    async def aclose(self) -> None: ...


async def unembedded(chunks: Sequence[ChunkRecord]) -> AsyncIterator[Batch]:
    yield chunks, np.zeros((len(chunks), 256), np.float32)


@pytest.mark.usefixtures("way")
async def test_words_alone_find_what_they_can_while_the_model_is_away(opened: Opened) -> None:
    embedder = AwayEmbedder(new_id())
    source = Source(**{SHARED: knowledge()})
    search = opened(source, embedder)
    await search.load(unembedded(knowledge()), generation=1)
    assert search.lacking.is_set()
    found = await search.search("impermanent loss")
    assert found.passages[0].document == "amm.md"
    assert found.signals.cosine == 0
    with pytest.raises(ProviderUnavailable):
        await search.adopt(Embeddings(embedder), source)
    embedder.away.clear()
    await search.adopt(Embeddings(embedder), source)
    assert (await search.search("impermanent loss")).signals.cosine > 0.3
    assert search.size == len(knowledge())


class ShortEmbedder:
    """Another model, of fewer dimensions."""

    dimensions = 64

    def __init__(self) -> None:
        self.model = new_id()

    def embed(self, given: Sequence[str]) -> np.ndarray:
        vectors = EMBEDDER.embed(given)[:, :64]
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


class ShortSource(Source):
    async def batches(self, partition: str) -> AsyncIterator[Batch]:
        async for chunks, _ in super().batches(partition):
            yield chunks, ShortEmbedder().embed([one.index_text() for one in chunks])


async def test_another_model_takes_over_as_a_whole(search: PostgresSearch) -> None:
    embeddings = Embeddings(ShortEmbedder())
    await search.adopt(embeddings, ShortSource(**{SHARED: knowledge()}))
    assert search.serving.embeddings is embeddings
    assert (await search.search("What is impermanent loss?")).passages[0].document == "amm.md"
    assert (await search.search("What is a flash loan?")).curated is not None
    fresh = chunk(50, "bees.md", "Bees make honey from nectar.")
    await search.replace(
        SHARED, [], [fresh], EMBEDDER.embed([fresh.index_text()]), generation=2, model=EMBEDDER.model
    )  # the old model's
    assert (await search.search("honey")).passages[0].document == "bees.md"
    assert search.lacking.is_set()


class ChangingSource(ShortSource):
    """The knowledge changes while it is read for the other model."""

    def __init__(self, search: PostgresSearch, **partitions: Sequence[ChunkRecord]) -> None:
        super().__init__(**partitions)
        self._search = search
        self._generation = 1

    async def generation(self, partition: str) -> int:
        return self._generation

    async def batches(self, partition: str) -> AsyncIterator[Batch]:
        async for batch in super().batches(partition):
            yield batch
        if self._generation == 1:
            self._generation = 2
            self.partitions[SHARED] = [*knowledge(), BEES]
            await add(self._search, SHARED, BEES, generation=2)


async def test_a_change_while_another_model_takes_over_is_not_lost(search: PostgresSearch) -> None:
    source = ChangingSource(search, **{SHARED: knowledge()})
    await search.adopt(Embeddings(ShortEmbedder()), source)
    assert (await search.search("honey")).passages[0].document == "bees.md"
    assert (search.size, search.lexical_generation) == (len(knowledge()) + 1, 2)


async def test_the_tables_of_a_model_can_be_dropped(search: PostgresSearch, opened: Opened) -> None:
    await search.forget(search.serving.embeddings.model, 256)
    again = opened()
    assert (await again.search("oracle")).passages == ()
    await again.load(batches(knowledge()), generation=1)
    assert again.size == len(knowledge())


async def test_a_load_by_another_model_is_read_with_the_vectors_of_the_one_that_serves(opened: Opened) -> None:
    search = opened(Source(**{SHARED: knowledge()}))
    await search.load(unembedded(knowledge()), generation=1, model="another")
    assert (await search.search("impermanent loss")).signals.cosine > 0.3


class Backwards:
    """A reranker that likes best what the search likes least."""

    name = "backwards"

    async def rerank(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        return [n / len(texts) for n in range(len(texts))]

    async def aclose(self) -> None: ...


async def test_a_reranker_has_the_last_word(search: PostgresSearch, knowledge_database: Database) -> None:
    source = Source(shared=knowledge())
    other = PostgresSearch(search.serving.embeddings, knowledge_database, source, reranking=Reranking(Backwards()))
    mine, turned = await search.search("oracle", 3), await other.search("oracle", 3)
    assert turned.confidence == mine.confidence
    assert turned.passages[0].document != mine.passages[0].document
    assert len(turned.passages) == 3
