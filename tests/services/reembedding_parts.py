"""A knowledge folder in a real database under a real search index, and models whose vectors tell them apart."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, select

from infrastructure.database.engine import Database
from infrastructure.database.models import ChunkEmbedding
from infrastructure.errors import ProviderError
from infrastructure.lexical.tantivy import LexicalIndex
from services.embeddings import Embeddings, Vectors
from services.knowledge.index import Indexer
from services.knowledge.scope import SHARED_SCOPE, Scope
from services.knowledge.search import SearchIndex
from services.knowledge.stored import StoredChunks
from services.reembedding import Reembedding

Step = Callable[[], Awaitable[None]]
DIMENSIONS = 26


class TurnedEmbedder:
    """Counts of letters, turned by `turn` places: a text is its own nearest, and far from what another turn makes of
    it. `before` is awaited with each batch of passages, and may raise.
    """

    dimensions = DIMENSIONS

    def __init__(self, name: str, turn: int, before: Step | None = None) -> None:
        self.name = name
        self.before = before
        self.before_query: Step | None = None
        self.away: ProviderError | None = None
        self.passages: list[str] = []
        self.batches = 0
        self.closed = False
        self._turn = turn

    async def embed(self, texts: Sequence[str], purpose: str = "passage") -> Vectors:
        await asyncio.sleep(0)  # as every model that is asked over a network
        if self.away is not None:
            raise self.away
        if purpose == "passage":
            self.batches += 1
            if self.before is not None:
                await self.before()
            self.passages += texts
        elif self.before_query is not None:
            await self.before_query()
        return self.vectors(texts)

    def vectors(self, texts: Sequence[str]) -> Vectors:
        counts = [[one.lower().count(chr(ord("a") + n)) ** 3 for n in range(DIMENSIONS)] for one in texts]
        rows = np.roll(np.array(counts, np.float32).reshape(-1, DIMENSIONS), self._turn, axis=1)
        norms = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return np.asarray(rows / norms, np.float32)

    async def aclose(self) -> None:
        self.closed = True


class Library:
    """A folder, its database, its search index and who keeps them in step."""

    def __init__(self, folder: Path, database: Database, serving: Embeddings) -> None:
        self.folder = folder / "knowledge"
        self.folder.mkdir(exist_ok=True)
        self.database = database
        stored = StoredChunks(database, serving.model, serving.dimensions)
        self.search = SearchIndex(serving, LexicalIndex(None), stored)
        self.indexer = Indexer(self.folder, database, self.search.serving, self.search)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, "utf-8")

    async def closeness(self, text: str, scope: Scope = SHARED_SCOPE) -> float:
        """The highest cosine of a passage to the question `text`, which is 1 for what was embedded from it."""
        return (await self.search.search(text, 4, scope)).signals.cosine

    async def kept(self) -> dict[str, int]:
        """How many vectors of each model the database has."""
        query = select(ChunkEmbedding.model, func.count()).group_by(ChunkEmbedding.model)
        async with self.database.read() as session:
            return {row[0]: row[1] for row in await session.execute(query)}


def text_of(n: int) -> str:
    """A text of one chunk that is like no other's: what is embedded is `title_of(n)`, a line's end, and it."""
    return " ".join([chr(ord("a") + n % 26) * 5, chr(ord("a") + n // 26) * 3, f"number{n}"])


def asked(n: int) -> str:
    """The very text that is embedded of document `n`."""
    return f"D{n}\n{text_of(n)}"


@asynccontextmanager
async def open_library(
    folder: Path, database: Database, serving: Embeddings, documents: int = 0
) -> AsyncIterator[Library]:
    library = Library(folder, database, serving)
    for n in range(documents):
        library.write(f"d{n}.md", text_of(n))
    try:
        yield library
    finally:
        await library.search.aclose()


@asynccontextmanager
async def working(library: Library, wanted: Embeddings, **options: Any) -> AsyncIterator[Reembedding]:
    """The background work, until the end of the block."""
    reembedding = Reembedding(library.database, library.search, wanted, **options)
    task = asyncio.create_task(reembedding.run())
    try:
        yield reembedding
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await reembedding.aclose()


async def until(true: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until it is so, looking again and again; at most 10 s."""
    async with asyncio.timeout(10):
        while True:
            found = true()
            if found is True or (not isinstance(found, bool) and await found):
                return
            await asyncio.sleep(0.005)


async def no_pause(seconds: float) -> None:
    await asyncio.sleep(0)
