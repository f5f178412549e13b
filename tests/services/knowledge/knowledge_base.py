"""A knowledge folder with all that hangs on it, for tests: the real database, and a search index that remembers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.migrate import is_current, upgrade
from services.embeddings import Embeddings, Vectors
from services.knowledge.index import Indexer
from services.knowledge.library import Library
from services.knowledge.records import ChunkRecord
from services.knowledge.stored import Batch, StoredChunks
from services.serving_model import ServingModel


class LengthEmbedder:
    """A small embedder that works: two numbers that a text's length and first letter decide."""

    dimensions = 2

    def __init__(self, model: str = "length") -> None:
        self.model = model
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.texts.extend(texts)
        shift = len(self.model)
        rows = np.array([[len(text) + shift, ord(text[0])] for text in texts], np.float32).reshape(-1, 2)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


class IndexBroken(Exception):
    """What a search index raises that was told to be broken."""


@dataclass
class RememberingIndex:
    """A search index that finds by substring, and tells when something was asked of it."""

    records: dict[int, ChunkRecord] = field(default_factory=dict)
    vectors: dict[int, bytes] = field(default_factory=dict)
    generation: int | None = None
    loads: int = 0
    replacements: int = 0
    broken: bool = False
    failures: int = 0
    asked: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, seen: Callable[[], bool]) -> None:
        """Wait until `seen` is true after something was asked of the index; at most 5 s."""
        async with asyncio.timeout(30), self.asked:
            await self.asked.wait_for(seen)

    async def replace(
        self,
        partition: str,
        removed_rows: Sequence[int],
        added: Sequence[ChunkRecord],
        vectors: Vectors,
        *,
        generation: int,
        model: str | None = None,
        changes: int = 1,
    ) -> None:
        async with self.asked:
            self.asked.notify_all()
            if self.broken:
                self.failures += 1
                raise IndexBroken
            self.replacements += 1
            for row in removed_rows:
                del self.records[row]
            self._add(added, vectors)
            self.generation = generation

    async def load(self, batches: AsyncIterator[Batch], *, generation: int, model: str | None = None) -> None:
        self.loads += 1
        self.records.clear()
        async for records, vectors in batches:
            self._add(records, vectors)
        self.generation = generation
        async with self.asked:
            self.asked.notify_all()

    def _add(self, records: Sequence[ChunkRecord], vectors: Vectors) -> None:
        assert vectors.shape == (len(records), 2)
        for record, vector in zip(records, vectors, strict=True):
            self.records[record.row] = record
            self.vectors[record.row] = vector.tobytes()

    def find(self, words: str) -> list[str]:
        return sorted({record.document for record in self.records.values() if words in record.text})


@dataclass
class KnowledgeBase:
    folder: Path
    database: Database
    index: RememberingIndex
    embedder: LengthEmbedder
    library: Library
    indexer: Indexer
    stored: StoredChunks

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path


@asynccontextmanager
async def open_knowledge_base(tmp_path: Path, model: str = "length", **options: Any) -> AsyncIterator[KnowledgeBase]:
    folder = tmp_path / "knowledge"
    folder.mkdir(exist_ok=True)
    url = f"sqlite:///{tmp_path}/test.db"
    database = Database(open_engine(url))
    if not await is_current(database.engine):
        await upgrade(url)
    embedder, index, library = LengthEmbedder(model), RememberingIndex(), Library(database)
    indexer = Indexer(folder, database, ServingModel(Embeddings(embedder)), index, on_change=library.forget, **options)
    try:
        yield KnowledgeBase(
            folder, database, index, embedder, library, indexer, StoredChunks(database, embedder.model, 2)
        )
    finally:
        await database.close()
