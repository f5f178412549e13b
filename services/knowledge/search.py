"""The search index: the knowledge as search sees it, in step with the database.

A search over many chunks is one hop to a thread of its own. What it reads is a snapshot (the lexical index, the
vectors, the curated questions) that a change of the knowledge replaces as a whole, so a search sees all of a change or
none of it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from infrastructure.lexical.tantivy import LexicalDocument, LexicalIndex, LexicalWriter
from infrastructure.vectors.numpy import VectorSnapshot
from services.embeddings import Embedder
from services.knowledge.curated import CuratedQuestions
from services.knowledge.records import ChunkRecord
from services.knowledge.retrieval import Ranking, Retrieval, Retriever, Snapshot
from services.knowledge.store import RecordStore
from services.knowledge.text import TextAnalysis

__all__ = ["Fetch", "Retrieval", "SearchIndex"]

Vectors = npt.NDArray[np.float32]
Batch = tuple[Sequence[ChunkRecord], Vectors]
Fetch = Callable[[Sequence[int]], Awaitable[list[ChunkRecord]]]
"""Loads the records of rows that memory no longer holds; a row that is gone is left out."""
T = TypeVar("T")

INLINE_CHUNKS = 2000
"""Up to here a search is done where it is asked for. It takes some 0.25 ms there (0.45 at 1,000 synthetic chunks), as
long as parsing a few tokens of a model; the hop to a thread and back costs half as much again, and under load the wait
for the interpreter's lock much more.
"""
TEXT_BYTES = 64 * 1024 * 1024
CURATED_THRESHOLD = 0.7


class SearchIndex:
    """Finds passages. Long searches run in one thread and changes in another, so neither holds up the event loop.

    `text_bytes` bounds the chunks kept in memory; others are brought by `fetch` when a search needs them.
    """

    def __init__(
        self,
        embedder: Embedder,
        lexical: LexicalIndex,
        fetch: Fetch,
        *,
        analysis: TextAnalysis | None = None,
        curated_threshold: float = CURATED_THRESHOLD,
        text_bytes: int = TEXT_BYTES,
    ) -> None:
        self.analysis = analysis or TextAnalysis()
        self._embedder = embedder
        self._lexical = lexical
        self._fetch = fetch
        self._retriever = Retriever(embedder, self.analysis, curated_threshold)
        self._records = RecordStore(text_bytes)
        self._snapshot = self._empty()
        self._changing = asyncio.Lock()
        self._searcher = ThreadPoolExecutor(1, "search")
        self._writer = ThreadPoolExecutor(1, "index")

    @property
    def lexical_generation(self) -> int | None:
        """The generation that the lexical index on disk holds; None when it has to be built."""
        return self._lexical.generation

    @property
    def size(self) -> int:
        """How many chunks can be found."""
        return self._snapshot.vectors.size

    def idf(self, term: str) -> float:
        """How rare an analysed term is in the knowledge as it is now."""
        return self._snapshot.idf(term)

    async def search(self, query: str, limit: int = 8) -> Retrieval:
        """The passages for `query`, best first, at most `limit`."""
        if self.size <= INLINE_CHUNKS:
            found = self._search(query, limit)
        else:
            found = await self._in(self._searcher, self._search, query, limit)
        if isinstance(found, Retrieval):
            return found
        rows = found.rows()
        records = self._records.get(rows)
        fetched = await self._fetch([row for row in rows if row not in records])
        self._records.put(fetched)
        records.update((record.row, record) for record in fetched)
        return await self._in(self._searcher, self._retriever.finish, found, records)

    async def replace(
        self, removed_rows: Sequence[int], added: Sequence[ChunkRecord], vectors: Vectors, *, generation: int
    ) -> None:
        """Remove and add chunks at once; the next search sees all of it. `vectors` has a row for each of `added`."""
        async with self._changing:
            await self._in(self._writer, self._replace, removed_rows, added, vectors, generation)

    async def load(self, batches: AsyncIterator[Batch], *, generation: int) -> None:
        """Take in all of the knowledge, in place of what is there. The lexical index is built anew only where it does
        not hold `generation` already.
        """
        async with self._changing:
            loading = _Loading(self._lexical if self._lexical.generation != generation else None)
            try:
                async for records, vectors in batches:
                    await self._in(self._writer, loading.add, records, vectors)
                    self._records.put(records)
                await self._in(self._writer, self._finish_loading, loading, generation)
            finally:
                self._writer.submit(loading.close)

    async def aclose(self) -> None:
        """End the threads and give up the index folder."""
        await asyncio.to_thread(self._writer.shutdown)
        await asyncio.to_thread(self._searcher.shutdown)
        self._lexical.close()

    def _search(self, query: str, limit: int) -> Retrieval | Ranking:
        """The whole search, or the first half of one that needs records from the database."""
        ranking = self._retriever.rank(self._snapshot, query, limit)
        rows = ranking.rows()
        records = self._records.get(rows)
        return self._retriever.finish(ranking, records) if len(records) == len(rows) else ranking

    def _replace(self, removed: Sequence[int], added: Sequence[ChunkRecord], vectors: Vectors, generation: int) -> None:
        old = self._snapshot
        rows = [record.row for record in added]
        entries = [record for record in added if record.question]
        fresh_vectors = old.vectors.replace(removed, rows, vectors)
        curated = old.curated.replace(removed, entries, self._embed_questions(entries))
        self._lexical.update([*removed, *rows], map(_lexical_document, added), generation=generation)
        self._records.put(added)
        self._snapshot = Snapshot(self._lexical.snapshot, fresh_vectors, curated)
        self._records.remove(removed)

    def _finish_loading(self, loading: "_Loading", generation: int) -> None:
        loading.commit(generation)
        empty = self._empty()
        vectors = empty.vectors
        if loading.rows:
            vectors = vectors.replace([], loading.rows, np.concatenate(loading.vectors))
        curated = empty.curated.replace([], loading.curated, self._embed_questions(loading.curated))
        self._snapshot = Snapshot(self._lexical.snapshot, vectors, curated)

    def _empty(self) -> Snapshot:
        dimensions = self._embedder.dimensions
        nothing = np.empty((0, dimensions), np.float32)
        return Snapshot(self._lexical.snapshot, VectorSnapshot.empty(dimensions), CuratedQuestions.of((), nothing))

    def _embed_questions(self, entries: Sequence[ChunkRecord]) -> Vectors:
        if not entries:
            return np.empty((0, self._embedder.dimensions), np.float32)
        vectors: Vectors = self._embedder.embed([entry.question or "" for entry in entries])
        return vectors

    async def _in(self, thread: ThreadPoolExecutor, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, work, *args)


class _Loading:
    """What `SearchIndex.load` has read so far. `lexical` is given when it has to be built."""

    def __init__(self, lexical: LexicalIndex | None) -> None:
        self._lexical = lexical
        self._writer: LexicalWriter | None = None
        self.rows: list[int] = []
        self.vectors: list[Vectors] = []
        self.curated: list[ChunkRecord] = []

    def add(self, records: Sequence[ChunkRecord], vectors: Vectors) -> None:
        self.rows.extend(record.row for record in records)
        self.vectors.append(vectors)
        self.curated.extend(record for record in records if record.question)
        if self._lexical:
            self._open(self._lexical).add(map(_lexical_document, records))

    def commit(self, generation: int) -> None:
        if self._lexical:
            self._open(self._lexical).commit(generation)

    def close(self) -> None:
        if self._writer:
            self._writer.close()

    def _open(self, lexical: LexicalIndex) -> LexicalWriter:
        if not self._writer:
            self._writer = lexical.write()
            self._writer.remove_all()
        return self._writer


def _lexical_document(record: ChunkRecord) -> LexicalDocument:
    """A curated question weighs as a title does: it is what the entry is about."""
    return LexicalDocument(record.row, record.question or record.title, record.section or "", record.text)
