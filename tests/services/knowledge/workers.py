"""Processes over one database, each with an index of its own, as tests of several workers need them."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.models import SHARED, new_id
from infrastructure.database.repositories.knowledge import KnowledgeRepository
from infrastructure.lexical.tantivy import LexicalIndex
from services.embeddings import Embeddings
from services.knowledge.folder_keeping import FolderKeeping
from services.knowledge.following import KnowledgeFollower
from services.knowledge.index import Indexer
from services.knowledge.library import Library
from services.knowledge.postgres_search import PostgresSearch
from services.knowledge.records import ChunkRecord
from services.knowledge.rows import by_row
from services.knowledge.scope import Scope
from services.knowledge.search import SearchIndex
from services.knowledge.stored import StoredChunks
from services.serving_model import ServingModel
from tests.services.chat_rows import START
from tests.services.knowledge.corpus import EMBEDDER

SECONDS = 20.0  # that anything may take before a test gives up


async def until(seen: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again until `seen` says so."""
    async with asyncio.timeout(SECONDS):
        while not await seen():  # noqa: ASYNC110  what another process sees fires no event here
            await asyncio.sleep(0.01)


class Counted(Embeddings):
    """Counts the texts that it embeds."""

    def __init__(self) -> None:
        super().__init__(EMBEDDER)
        self.count = 0

    async def embed(self, texts: Any, *args: Any) -> Any:
        self.count += len(texts)
        return await super().embed(texts, *args)


@dataclass
class Worker:
    """What one process has of the knowledge."""

    database: Database
    folder: Path
    embeddings: Counted
    source: StoredChunks
    search: SearchIndex | PostgresSearch
    library: Library
    indexer: Indexer
    follower: KnowledgeFollower
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def begin(self, *work: Any) -> None:
        """Go on with `work` beside the test; by default all that a service does."""
        for one in work or (self.follower.run(), self.indexer.watch(), self.indexer.reindex_when_asked()):
            self.tasks.append(asyncio.ensure_future(one))

    async def die(self) -> None:
        """End without a word, as a killed process does."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    async def found(self, word: str, *partitions: str) -> list[str]:
        """The names of the documents with a word that a search for it finds; in the shared knowledge where no partition
        is given."""
        found = await self.search.search(word, 8, Scope(partitions) if partitions else Scope((SHARED,)))
        return sorted({one.document for one in found.passages if word.lower() in one.text.lower()})

    async def sees(self, word: str, name: str) -> None:
        """Wait until a search for a word finds a document."""
        await until(lambda: self._finds(word, name))

    async def misses(self, word: str, name: str) -> None:
        """Wait until none does."""
        await until(lambda: self._lacks(word, name))

    async def add(self, partition: str, name: str, *texts: str, publish: bool = True) -> str:
        """A document of a partition, as what indexes uploads commits it; its id. It comes into this process's index
        if it is to be published."""
        document, text = new_id(), "\n".join(texts)
        chunks, start = [], 0
        for one in texts:
            place = {"kind": "text", "section": None, "page": None, "question": None}
            chunks.append({**place, "start": start, "end": start + len(one), "answer_start": None, "answer_end": None})
            start += len(one) + 1
        vectors = await self.embeddings.embed(list(texts))
        async with self.database.write() as session:
            repository = KnowledgeRepository(session)
            await repository.save(_document(document, partition, name, text, len(texts)))
            rows = await repository.add_chunks(document, chunks)
            await repository.add_embeddings(self.embeddings.model, by_row(rows, vectors))
            generation = await repository.next_generation(partition, [document])
        if publish:
            records = [
                ChunkRecord(row, chunk_id, document, name, name, None, None, one["start"], one["end"], said)
                for (row, chunk_id), one, said in zip(rows, chunks, texts, strict=True)
            ]
            await self.search.replace(partition, [], records, vectors, generation=generation)
        return document

    async def remove(self, partition: str, document: str) -> None:
        async with self.database.write() as session:
            repository = KnowledgeRepository(session)
            rows = await repository.remove(document)
            generation = await repository.next_generation(partition, [document])
        await self.search.withdraw(partition, rows, generation=generation)

    async def load(self) -> None:
        """Take in what the database has, without a look at the folder."""
        await self.search.load(self.source.batches(), generation=await self.generation())

    async def generation(self, partition: str = "") -> int:
        return await self.source.generation(partition)

    async def _finds(self, word: str, name: str) -> bool:
        return name in await self.found(word)

    async def _lacks(self, word: str, name: str) -> bool:
        return name not in await self.found(word)


@asynccontextmanager
async def open_worker(
    url: str, folder: Path, index: Path | None = None, *, postgres: bool = False, lease: float = 60.0, **options: Any
) -> AsyncIterator[Worker]:
    """A process with a pool of one connection. `options` are the indexer's."""
    database = Database(open_engine(url, pool_size=1))
    os.makedirs(folder, exist_ok=True)
    embeddings = Counted()
    await embeddings.open()
    source = StoredChunks(database, embeddings.model, embeddings.dimensions)
    search: SearchIndex | PostgresSearch
    if postgres:
        search = PostgresSearch(embeddings, database, source)
    else:
        search = SearchIndex(embeddings, LexicalIndex(index), source, alone=database.is_sqlite)
    library = Library(database)
    indexer = Indexer(
        folder, database, ServingModel(embeddings), search, on_change=library.forget,
        keeping=FolderKeeping(database, seconds=lease), **options,
    )  # fmt: skip
    follower = KnowledgeFollower(database, search, library, lambda: indexer.writing, seconds=0.05)
    worker = Worker(database, folder, embeddings, source, search, library, indexer, follower)
    try:
        yield worker
    finally:
        await worker.die()
        await indexer.aclose()
        await search.aclose()
        await database.close()


def _document(document: str, partition: str, name: str, text: str, chunks: int) -> dict[str, Any]:
    return {
        "id": document, "partition": partition, "name": name, "title": name, "media_type": "text/plain",
        "size_bytes": len(text), "checksum": "0" * 64, "modified_ns": 0, "recipe": "", "text": text, "pages": None,
        "status": "ready", "error_message": None, "chunks_count": chunks, "created_at": START, "updated_at": START,
    }  # fmt: skip
