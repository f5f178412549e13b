"""How fast a large text file is indexed with everything real, and what the event loop and other writers feel of it.

`python -m tests.benchmarks.file_indexing [MEGABYTES] [DATABASE_URL]`; by default 49 and a new SQLite database.
"""

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.migrate import upgrade
from infrastructure.database.models import File, new_id
from infrastructure.database.repositories.files import FILE_WAITING
from infrastructure.embedders.wordllama import WordLlamaEmbedder
from infrastructure.lexical.tantivy import LexicalIndex
from infrastructure.storage.local import LocalStorage
from services.embeddings import Embeddings
from services.file_indexing import FileIndexing
from services.knowledge.reading_process import ReadingLimits, ReadingProcess
from services.knowledge.scope import Scope
from services.knowledge.search import SearchIndex
from services.knowledge.stored import StoredChunks

SAMPLE_SECONDS = 0.005
WRITE_SECONDS = 0.05


def prose(size: int) -> bytes:
    """About `size` bytes of paragraphs."""
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 11))) for _ in range(30_000)]
    parts: list[str] = []
    length = 0
    while length < size:
        sentences = (" ".join(chance.choices(words, k=chance.randint(8, 20))) for _ in range(chance.randint(2, 9)))
        parts.append(" ".join(f"{sentence.capitalize()}." for sentence in sentences))
        length += len(parts[-1]) + 2
    return "\n\n".join(parts).encode()


async def measure_lag(samples: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + SAMPLE_SECONDS
        await asyncio.sleep(SAMPLE_SECONDS)
        samples.append(loop.time() - due)


async def measure_writes(database: Database, samples: list[float]) -> None:
    """What a small write waits, such as a chat's."""
    while True:
        await asyncio.sleep(WRITE_SECONDS)
        began = time.perf_counter()
        async with database.write() as session:
            await session.execute(text("UPDATE partition_state SET generation = generation WHERE partition = 'none'"))
        samples.append(time.perf_counter() - began)


async def add_file(database: Database, storage: LocalStorage, data: bytes) -> str:
    async def chunks() -> AsyncIterator[bytes]:
        yield data

    file_id, now = new_id(), datetime.now(UTC)
    await storage.put(f"files/{file_id}", chunks())
    file = {
        **FILE_WAITING, "id": file_id, "owner_id": None, "original_filename": "prose.txt", "mime_type": "text/plain",
        "size_bytes": len(data), "checksum": "", "chunks_count": 0, "created_at": now, "updated_at": now,
    }  # fmt: skip
    async with database.write() as session:
        session.add(File(**file))
    return file_id


async def main(megabytes: float, url: str | None) -> None:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = url or f"sqlite:///{folder}/askgraph.db"
        await upgrade(url)
        database, embeddings = Database(open_engine(url)), Embeddings(WordLlamaEmbedder())
        stack.push_async_callback(database.close)
        search = SearchIndex(
            embeddings, LexicalIndex(None), StoredChunks(database, embeddings.model, embeddings.dimensions)
        )
        stack.push_async_callback(search.aclose)
        reading = ReadingProcess(ReadingLimits(), chunk_size=1200, chunk_overlap=150)
        stack.push_async_callback(reading.aclose)
        storage = await LocalStorage.open(folder / "files")
        file_id = await add_file(database, storage, prose(int(megabytes * 1024 * 1024)))
        await search.search("anything", 5, Scope((file_id,)))  # from here on the partition is in memory
        indexing = FileIndexing(
            database, storage, reading, search.serving, search, clock=lambda: datetime.now(UTC), worker_id="benchmark",
            temp_dir=folder / "reading",
        )  # fmt: skip
        lags: list[float] = []
        writes: list[float] = []
        tasks = [asyncio.create_task(measure_lag(lags)), asyncio.create_task(measure_writes(database, writes))]
        began = time.perf_counter()
        await indexing.index_one()
        seconds = time.perf_counter() - began
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with database.read() as session:
            file = await session.get_one(File, file_id)
        print(f"{megabytes} MB: {file.status}, {file.chunks_count} chunks in {seconds:.1f} s")
        print(f"{file.chunks_count / seconds:.0f} chunks/s; loop lag {told(lags)}; a small write waits {told(writes)}")


def told(samples: Sequence[float]) -> str:
    ordered = sorted(samples)
    at = {name: ordered[min(int(len(ordered) * share), len(ordered) - 1)] for name, share in _SHARES.items()}
    return ", ".join(f"{name} {1000 * value:.0f} ms" for name, value in at.items())


_SHARES = {"p50": 0.5, "p99": 0.99, "max": 1.0}

if __name__ == "__main__":
    arguments = [*sys.argv[1:], "49"][: max(1, len(sys.argv) - 1)]
    asyncio.run(main(float(arguments[0]), arguments[1] if len(arguments) > 1 else None))
