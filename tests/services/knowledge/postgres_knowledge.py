"""Searches on a real PostgreSQL, over the little knowledge of `corpus`."""

from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np
import pytest

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.models import new_id
from services.embeddings import Embeddings
from services.knowledge import postgres_ranking
from services.knowledge.postgres_search import PostgresSearch
from services.knowledge.records import ChunkRecord
from services.knowledge.retrieval import Retrieval
from services.knowledge.served import Batch
from tests.databases import PostgresServer
from tests.services.knowledge.corpus import EMBEDDER, Source, chunk, entry, knowledge

NOTHING = np.empty((0, EMBEDDER.dimensions), np.float32)
ANNA = [chunk(1001, "anna.md", "The walrus of Anna is called Theodore. It lives in a bath full of ice.")]
BEN = [
    chunk(2001, "ben.md", "The walrus of Ben is called Balthasar. It lives under a bridge of stone."),
    chunk(2002, "other.md", "Ben keeps a diary of bridges. The oldest bridge is of wood."),
    entry(2003, "What is the password of Ben?", "The password of Ben is kept in his head."),
]
BEES, ANTS = chunk(90, "bees.md", "Bees make honey."), chunk(91, "ants.md", "Ants keep lice.")
MORE = [BEES, ANTS]
Opened = Callable[..., PostgresSearch]


@pytest.fixture(scope="module")
def knowledge_url(postgres: PostgresServer) -> str:
    """One database for all tests here: each has a model, and so tables, of its own."""
    return postgres.migrated()


@pytest.fixture
async def knowledge_database(knowledge_url: str) -> AsyncIterator[Database]:
    database = Database(open_engine(knowledge_url, pool_size=1))
    yield database
    await database.close()


class Model:
    """The default model under a name of its own."""

    dimensions = EMBEDDER.dimensions

    def __init__(self) -> None:
        self.model = new_id()

    def embed(self, given: Sequence[str]) -> np.ndarray:
        return EMBEDDER.embed(given)


@pytest.fixture
def opened(knowledge_database: Database) -> Opened:
    """A search as another process would open it."""
    model = Model()

    def opened(source: Source | None = None, embedder: object = model, **options: float) -> PostgresSearch:
        return PostgresSearch(Embeddings(embedder), knowledge_database, source or Source(), **options)  # type: ignore[arg-type]

    return opened


@pytest.fixture
async def search(opened: Opened) -> PostgresSearch:
    search = opened(Source(shared=[*knowledge(), *MORE], anna=ANNA, ben=BEN))
    await search.load(batches(knowledge()), generation=1)
    return search


@pytest.fixture(params=["as a whole", "by the indexes"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The two ways of looking into a partition."""
    if request.param == "by the indexes":
        monkeypatch.setattr(postgres_ranking, "EXACT_CHUNKS", 0)
    return str(request.param)


async def batches(chunks: Sequence[ChunkRecord], size: int = 2) -> AsyncIterator[Batch]:
    for start in range(0, len(chunks), size):
        part = chunks[start : start + size]
        yield part, EMBEDDER.embed([one.index_text() for one in part])


async def add(search: PostgresSearch, partition: str, *chunks: ChunkRecord, generation: int) -> None:
    await search.replace(
        partition, [], chunks, EMBEDDER.embed([one.index_text() for one in chunks]), generation=generation
    )


async def own(search: PostgresSearch) -> None:
    await add(search, "anna", *ANNA, generation=1)
    await add(search, "ben", *BEN, generation=1)


def texts(found: Retrieval) -> str:
    return " ".join(passage.text for passage in found.passages)
