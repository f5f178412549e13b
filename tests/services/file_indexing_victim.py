"""A process that indexes the uploads of a SQLite database until it is killed: `python -m … URL FOLDER`.

It says `begun` once its worker runs, and `done` when nothing waits any more. Everything in it is real but the reading,
which is done in this process so that a start takes little time.
"""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.models import new_id
from infrastructure.database.repositories.file_queue import FileQueueRepository
from infrastructure.embedders.wordllama import WordLlamaEmbedder
from infrastructure.lexical.tantivy import LexicalIndex
from infrastructure.storage.local import LocalStorage
from services.embeddings import Embeddings
from services.file_indexing import FileIndexing
from services.knowledge.search import SearchIndex
from services.knowledge.stored import StoredChunks
from tests.services.file_indexing_parts import HereReading

KILLS_THAT_A_FILE_MAY_MEET = 100


async def main(url: str, folder: Path) -> None:
    database, embeddings = Database(open_engine(url)), Embeddings(WordLlamaEmbedder())
    stored = StoredChunks(database, embeddings.model, embeddings.dimensions)
    search = SearchIndex(embeddings, LexicalIndex(None), stored)
    indexing = FileIndexing(
        database, await LocalStorage.open(folder / "files"), HereReading(), search.serving, search,
        clock=lambda: datetime.now(UTC), worker_id=new_id(), temp_dir=folder / "temporary", batch=16,
        max_attempts=KILLS_THAT_A_FILE_MAY_MEET,
    )  # fmt: skip
    working = asyncio.create_task(indexing.run())
    print("begun", flush=True)  # noqa: T201  this is how it speaks
    waits = True
    while waits:
        async with database.read() as session:
            waits = await FileQueueRepository(session).next_due(datetime.now(UTC)) is not None
    print("done", flush=True)  # noqa: T201  this is how it speaks
    await working


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
