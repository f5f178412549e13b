"""The part of the composition root that reads uploads: the reading process, and the queue that feeds it."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime

from backend.assembly import Knowledge
from backend.settings import Settings
from infrastructure.database.models import new_id
from services.file_indexing import FileIndexing
from services.file_storage import FileStorage
from services.knowledge.reading_process import ReadingLimits, ReadingProcess


def open_indexing(
    settings: Settings, knowledge: Knowledge, storage: FileStorage, stack: AsyncExitStack, *, sole: bool | None = None
) -> FileIndexing:
    """What makes uploads searchable; its process is ended with `stack`. For `sole` see `FileIndexing`."""
    reading = ReadingProcess(ReadingLimits(), chunk_size=settings.chunk_size, chunk_overlap=settings.chunk_overlap)
    stack.push_async_callback(reading.aclose)
    return FileIndexing(
        knowledge.database,
        storage,
        reading,
        knowledge.search.serving,
        knowledge.search,
        clock=lambda: datetime.now(UTC),
        worker_id=new_id(),
        temp_dir=settings.data_dir / "reading",
        recipe=f"{settings.chunk_size}:{settings.chunk_overlap}",
        sole=sole,
    )
