"""Measure search on PostgreSQL over many chunks: how long a search takes, what it finds, room, changes.

    python -m tests.benchmarks.postgres_search [CHUNKS ...] [--url URL]

Chunks have 120 words and questions 12 (`tests/benchmarks/topics.py`); documents and texts are in the same database: an
empty one at URL, or on a server of its own with the settings it comes with (its `shared_buffers` hold some 30,000
chunks; beyond that they are what a search waits for). Times are of one search after another, over one connection, by
questions that were not asked before and then by the same. Recall is the share of the ten nearest chunks, and of the ten
passages of the whole search, that are found where not all chunks are looked at.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psutil
from sqlalchemy import insert, text

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.migrate import upgrade
from infrastructure.database.models import SHARED, Chunk, Document, new_id
from infrastructure.embedders.wordllama import WordLlamaEmbedder
from services.embeddings import Embeddings
from services.knowledge import postgres_ranking
from services.knowledge.postgres_search import PostgresSearch
from services.knowledge.records import ChunkRecord
from services.knowledge.scope import SHARED_SCOPE, Scope
from services.knowledge.search import Batch
from services.knowledge.stored import StoredChunks
from tests.benchmarks.embedded_search import BATCH, CHUNKS_A_DOCUMENT, NEAREST, QUESTIONS, WORDS, line
from tests.benchmarks.topics import Topics
from tests.databases import PostgresServer

EXACT_QUESTIONS = 100
QUESTION_WORDS = 12
OWN = 500  # chunks of an owner


class Stored:
    """Makes documents, and keeps them in the database as the service does, but for their embeddings."""

    def __init__(self, database: Database, words: Topics, embedder: WordLlamaEmbedder) -> None:
        self._database = database
        self._words = words
        self._embedder = embedder
        self._next = 1

    async def batches(self, count: int, partition: str = SHARED) -> AsyncIterator[Batch]:
        for start in range(0, count, BATCH):
            texts = self._words.texts(min(BATCH, count - start), WORDS)
            found = [
                record
                for at in range(0, len(texts), CHUNKS_A_DOCUMENT)
                for record in await self._document(texts[at : at + CHUNKS_A_DOCUMENT], partition)
            ]
            yield found, self._embedder.embed([one.index_text() for one in found])

    async def _document(self, texts: Sequence[str], partition: str) -> list[ChunkRecord]:
        known, name, first = new_id(), f"document-{self._next // CHUNKS_A_DOCUMENT}", self._next
        ends = np.cumsum([len(one) + 1 for one in texts]).tolist()
        self._next += len(texts)
        records = [
            ChunkRecord(first + n, new_id(), known, name, name, None, None, end - 1 - len(one), end - 1, one)
            for n, (one, end) in enumerate(zip(texts, ends, strict=True))
        ]
        now = datetime.now(UTC)
        document = {
            "id": known, "partition": partition, "name": name, "title": name, "media_type": "text/plain",
            "size_bytes": 1, "checksum": "", "modified_ns": 0, "recipe": "", "text": "\n".join(texts),
            "status": "ready", "chunks_count": len(texts), "created_at": now, "updated_at": now,
        }  # fmt: skip
        chunks = [
            {"row": one.row, "id": one.chunk_id, "document_id": known, "ordinal": n, "kind": "text",
             "start": one.start, "end": one.end}
            for n, one in enumerate(records)
        ]  # fmt: skip
        async with self._database.write() as session:
            await session.execute(insert(Document).values(**document))
            await session.execute(insert(Chunk), chunks)
        return records


async def measure(count: int, url: str) -> None:
    """Print what there is to say of `count` chunks."""
    database = Database(open_engine(url, pool_size=1))
    embedder = WordLlamaEmbedder()
    words = Topics(count, embedder)
    stored = Stored(database, words, embedder)
    search = PostgresSearch(Embeddings(embedder), database, StoredChunks(database, embedder.model, 256))
    began = time.perf_counter()
    await search.load(stored.batches(count), generation=1)
    print(f"{count:,} chunks: made and loaded in {time.perf_counter() - began:.0f} s; {await room(database)}")
    print(f"  memory of the process {psutil.Process().memory_info().rss / 2**20:.0f} MB")
    questions = words.texts(QUESTIONS, QUESTION_WORDS)
    await own(search, stored)
    mine = Scope((SHARED, "owner"))
    scopes = (("first time", SHARED_SCOPE), ("again", SHARED_SCOPE), ("and an owner's 500", mine))
    for name, scope in scopes:
        print(line(name, [await timed(search, question, scope) for question in questions]))
    await recall(search, questions[:EXACT_QUESTIONS])
    print(line("a document replaced", await changes(search, stored)))
    await database.close()


async def own(search: PostgresSearch, stored: Stored) -> None:
    async for records, vectors in stored.batches(OWN, "owner"):
        await search.replace("owner", [], records, vectors, generation=1)


async def timed(search: PostgresSearch, question: str, scope: Scope) -> float:
    began = time.perf_counter()
    await search.search(question, 8, scope)
    return time.perf_counter() - began


async def recall(search: PostgresSearch, questions: Sequence[str]) -> None:
    """By words and vectors, then by vectors alone: these questions have no word that is known."""
    for name, words in (("passages", True), ("vectors", False)):
        found = [await rows(search, question, words) for question in questions]
        kept, postgres_ranking.EXACT_CHUNKS = postgres_ranking.EXACT_CHUNKS, 10**9
        exact = [await rows(search, question, words) for question in questions]
        postgres_ranking.EXACT_CHUNKS = kept
        shares = [len(one & other) / len(other) for one, other in zip(found, exact, strict=True)]
        print(f"  recall@{NEAREST} of {name} {np.mean(shares):.4f}")


async def rows(search: PostgresSearch, question: str, words: bool) -> set[int]:
    served: Any = search._served
    terms = tuple(search.analysis.terms(question)) if words else ()
    vector = search.serving.embeddings.query_now(question)
    ranking = postgres_ranking.PostgresRanking(search.analysis, question, terms, vector, NEAREST, 0.0)
    (half,), _ = await served._halves(ranking, SHARED_SCOPE, patient=True)
    return {one.row for one in half.found[:NEAREST]}


async def changes(search: PostgresSearch, stored: Stored) -> list[float]:
    times, generation = [], 1
    async for records, vectors in stored.batches(10 * CHUNKS_A_DOCUMENT):
        for at in range(0, len(records), CHUNKS_A_DOCUMENT):
            some, generation = slice(at, at + CHUNKS_A_DOCUMENT), generation + 1
            began = time.perf_counter()
            gone = range(at + 1, at + 1 + CHUNKS_A_DOCUMENT)
            await search.replace(SHARED, gone, records[some], vectors[some], generation=generation)
            times.append(time.perf_counter() - began)
    return times


async def room(database: Database) -> str:
    query = (
        "SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relname LIKE 'search%' "
        "AND pg_relation_size(oid) > 1000000 ORDER BY 2 DESC"
    )
    async with database.read() as session:
        found = (await session.execute(text(query))).all()
    return ", ".join(f"{name.rpartition('_')[0]} {size / 2**20:.0f} MB" for name, size in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chunks", nargs="*", type=int, default=[10_000, 100_000])
    parser.add_argument("--url", help="of an empty PostgreSQL database with pgvector, for one measurement")
    given = parser.parse_args()
    if given.url:
        asyncio.run(upgrade(given.url))
        asyncio.run(measure(given.chunks[0], given.url))
        return
    server = PostgresServer(durable=True)
    try:
        for count in given.chunks:
            asyncio.run(measure(count, server.migrated()))
    finally:
        server.stop()


if __name__ == "__main__":
    main()
