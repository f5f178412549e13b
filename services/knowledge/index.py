"""Indexing: keeps the database and the search index in step with the knowledge folder."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import structlog

from infrastructure.database.engine import Database
from infrastructure.database.models import SHARED
from infrastructure.database.repositories.knowledge import DocumentState, KnowledgeRepository
from infrastructure.errors import ProviderError
from services.knowledge.chunk import DEFAULT_OVERLAP, DEFAULT_SIZE
from services.knowledge.extract import DEFAULT_MAX_BYTES
from services.knowledge.folder import FolderMissing, FoundFile, scan
from services.knowledge.folder_keeping import FolderKeeping, Keeping, KeepingLost
from services.knowledge.pending import PendingChanges
from services.knowledge.reading import FileReader, PreparedFile
from services.knowledge.reading_process import ReadingProcess
from services.knowledge.records import ChunkRecord, index_text
from services.knowledge.rows import by_row, chunk_records, chunk_values, document_values
from services.knowledge.stored import Batch, StoredChunks
from services.knowledge.watch import watch
from services.serving_model import WORDS_ONLY, ServingModel

_logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

Vectors = npt.NDArray[np.float32]

DEFAULT_MAX_FILES = 10_000
START_SECONDS = 0.5  # between looks whether another process has taken in the folder for the first time

OnProgress = Callable[[int, int, int], None]
"""Told, file after file: how many files were looked at, of how many, and how many chunks came of those that changed."""


class Searchable(Protocol):
    """What the indexer needs of the search index."""

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
    ) -> None: ...

    async def load(self, batches: AsyncIterator[Batch], *, generation: int, model: str | None = None) -> None: ...

    async def mend(self) -> None:
        """Bring what processes share up to date with the database, where one may have died at it."""

    @property
    def torn(self) -> bool:
        """Whether what processes share was not up to date when it was last looked at."""


@dataclass(slots=True)
class SyncReport:
    """What a look at the folder came to: names of files, and seconds."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    unchanged: int = 0
    chunks: int = 0  # of what was added or changed
    seconds: float = 0.0
    elsewhere: bool = False  # another process takes in the folder; this one did not look
    looked: bool = True  # the folder was ever looked at to the end, here or elsewhere

    @property
    def anything(self) -> bool:
        return bool(self.added or self.changed or self.removed or self.failed)


class Indexer:
    """One at a time it reads what changed, and publishes each document as a whole: a search sees all of it or none.

    Of many processes over one database one takes in the folder (`FolderKeeping`); when it ends or dies, another does.
    """

    def __init__(
        self,
        folder: Path,
        database: Database,
        serving: ServingModel,
        search: Searchable,
        *,
        chunk_size: int = DEFAULT_SIZE,
        chunk_overlap: int = DEFAULT_OVERLAP,
        max_bytes: int = DEFAULT_MAX_BYTES,
        max_files: int = DEFAULT_MAX_FILES,
        process: ReadingProcess | None = None,
        on_change: Callable[[], None] = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        keeping: FolderKeeping | None = None,
    ) -> None:
        self._folder = folder
        self._database = database
        self._serving = serving
        self._search = search
        self._reader = FileReader(chunk_size, chunk_overlap, max_bytes, process)
        self._max_files = max_files
        self._on_change = on_change
        self._now = now
        self._keeping = keeping or FolderKeeping(database)
        self._one_at_a_time = asyncio.Lock()
        self._pending = PendingChanges()
        self._behind = True  # whether the search index may lack what the database has
        self._asked = asyncio.Event()
        self._anew = False
        self._inherited = False  # whether another process kept the folder before, and may have died at it
        self.on_published: Callable[[], None] = lambda: None
        """Called when changes of the shared knowledge can be found here, and so by others if they look."""
        self.loaded = False
        """Whether the knowledge can be searched, and the folder was looked at once."""
        self.writing = False
        """Whether this process takes in the folder just now: no other one changes the shared knowledge then."""

    async def start(self) -> SyncReport:
        """Make searchable what the database has, then look at the folder, or wait until another process has."""
        report = await self.sync()
        while not report.looked:
            await asyncio.sleep(START_SECONDS)
            report = await self.sync()
        self.loaded = True
        return report

    async def watch(self) -> None:
        """Follow the folder's changes until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(watch(self._folder, self._sync_and_go_on))
            if not self._keeping.alone:
                group.create_task(self._keep())

    def reindex(self) -> None:
        """Have every file read anew, changed or not; `reindex_when_asked` does it."""
        self._anew = True
        self._asked.set()

    async def reindex_when_asked(self) -> None:
        """Look at the whole folder each time that somebody asks for it, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            anew, self._anew = self._anew, False
            await self._sync_and_go_on(anew=anew)

    async def aclose(self) -> None:
        """Let another process take in the folder."""
        await self._keeping.leave()

    async def _keep(self) -> None:
        """Stay the one who takes in the folder, or see whether the one who does is there, until cancelled."""
        while True:
            await asyncio.sleep(self._keeping.pause)
            try:
                keeping = await self._take()
            except Exception as error:  # noqa: BLE001  the edge of the task: it must outlive a database that is away
                _logger.warning("knowledge_folder_not_kept", error=type(error).__name__)
            else:
                self._inherited |= keeping.fresh or (self._search.torn and not self.writing)
                if keeping.mine and (self._inherited or keeping.waiting):
                    self._asked.set()

    async def _take(self) -> Keeping:
        """Keep the folder, if nobody else does; not where it is missing, for then nobody's would be looked at."""
        if self._keeping.alone or await asyncio.to_thread(self._folder.is_dir):
            return await self._keeping.take()
        await self._keeping.leave()
        return Keeping(mine=False)

    async def _sync_and_go_on(self, *, anew: bool = False) -> None:
        try:
            report = await self.sync(anew=anew)
            if anew and report.elsewhere:
                await self._keeping.ask()
        except Exception:  # the edge of the watching task: one failed look must not end the watching
            _logger.exception("knowledge_sync_failed")

    async def sync(
        self, *, anew: bool = False, within: str = "", on_progress: OnProgress = lambda done, files, chunks: None
    ) -> SyncReport:
        """Bring the database and the search index up to date with the folder; `anew`: read unchanged files too;
        `within`: only the document of this name, or those below the folder of this name. Calls take turns. Where
        another process takes in the folder, nothing is done.

        A file that cannot be read is logged, kept as a failed document without chunks, and tried again once it
        changes. While the folder is missing, what is known stays known.
        """
        async with self._one_at_a_time:
            began = time.perf_counter()
            if self._behind:
                await self._load()
            report = SyncReport()
            keeping = await self._take()
            if keeping.mine:
                async with self._keeping.held():
                    await self._look(keeping, report, anew, within, on_progress)
            else:
                report.elsewhere, report.looked = True, keeping.looked
            report.seconds = time.perf_counter() - began
        if report.anything:
            _logger.info("knowledge_synced", **_counts(report))
        return report

    async def _look(
        self, keeping: Keeping, report: SyncReport, anew: bool, within: str, on_progress: OnProgress
    ) -> None:
        self.writing = True
        try:
            if self._inherited or keeping.fresh:
                await self._search.mend()
                self._inherited = False
            with suppress(FolderMissing):
                files = [file for file in await asyncio.to_thread(scan, self._folder) if is_within(file.name, within)]
                await self._sync(files, report, anew or keeping.waiting, within, on_progress)
        except KeepingLost:
            _logger.warning("knowledge_folder_lost")
            await self._publish()
            self._behind = False
            report.elsewhere = True
            return
        finally:
            self.writing = False
        if not within:
            await self._keeping.note_look(keeping)

    async def _sync(
        self, files: Sequence[FoundFile], report: SyncReport, anew: bool, within: str, on_progress: OnProgress
    ) -> None:
        if len(files) > self._max_files:
            _logger.warning("knowledge_folder_too_large", files=len(files), read=self._max_files)
            files = files[: self._max_files]
        async with self._database.read() as session:
            documents = await KnowledgeRepository(session).documents()
        known = {document.name: document for document in documents if is_within(document.name, within)}
        for name in known.keys() - {file.name for file in files}:
            await self._remove(known[name])
            report.removed.append(name)
        for done, file in enumerate(files):
            on_progress(done, len(files), report.chunks)
            await self._sync_file(file, known.get(file.name), report, anew)
            if self._pending.is_due:
                await self._publish()
        await self._publish()
        on_progress(len(files), len(files), report.chunks)

    async def _sync_file(self, file: FoundFile, known: DocumentState | None, report: SyncReport, anew: bool) -> None:
        about = (file.size, file.modified_ns, self._reader.recipe)
        if known and not anew and (known.size_bytes, known.modified_ns, known.recipe) == about:
            report.unchanged += 1
            return
        try:
            prepared = await self._reader.prepare(file)
        except FileNotFoundError:
            return  # gone meanwhile: the next look removes it
        if known and not anew and (known.checksum, known.recipe) == (prepared.checksum, self._reader.recipe):
            await self._note_time(known, file)
            report.unchanged += 1
            return
        await self._save(prepared, known)
        report.chunks += len(prepared.chunks)
        if prepared.document is None:
            _logger.warning("knowledge_file_failed", document=file.name, reason=prepared.reason)
            report.failed.append(file.name)
        else:
            (report.changed if known else report.added).append(file.name)

    async def _save(self, prepared: PreparedFile, known: DocumentState | None) -> None:
        """Embed, then write the document and its chunks in one transaction. When the model is away they are found by
        words alone until they are embedded.
        """
        texts = [index_text(prepared.title, piece.section, piece.text) for piece in prepared.chunks]
        model, vectors = await self._embedded(texts)
        if not self._pending.fits(model):
            await self._publish()
        values = document_values(prepared, known, recipe=self._reader.recipe, now=self._now())
        self._behind = True
        async with self._database.write() as session:
            await self._keeping.hold(session)
            repository = KnowledgeRepository(session)
            removed = await repository.remove_chunks(values["id"]) if known else []
            await repository.save(values)
            rows = await repository.add_chunks(values["id"], chunk_values(prepared.chunks))
            if model != WORDS_ONLY:
                await repository.add_embeddings(model, by_row(rows, vectors))
            generation = await repository.next_generation(SHARED, [values["id"]])
        if not self._pending.follows(generation):
            await self._publish()
        self._pending.add(removed, chunk_records(prepared, values["id"], rows), vectors, model, generation)
        self._on_change()

    async def _embedded(self, texts: Sequence[str]) -> tuple[str, Vectors]:
        """The texts' vectors, and which model made them."""
        embeddings = self._serving.embeddings
        try:
            return embeddings.model, await embeddings.embed(texts)
        except ProviderError as error:
            _logger.warning("knowledge_not_embedded", chunks=len(texts), kind=error.kind)
            return WORDS_ONLY, np.zeros((len(texts), embeddings.dimensions), np.float32)

    async def _remove(self, known: DocumentState) -> None:
        self._behind = True
        async with self._database.write() as session:
            await self._keeping.hold(session)
            repository = KnowledgeRepository(session)
            removed = await repository.remove(known.id)
            generation = await repository.next_generation(SHARED, [known.id])
        if not self._pending.follows(generation):
            await self._publish()
        self._pending.remove(removed, generation)
        self._on_change()

    async def _publish(self) -> None:
        """Let searches see what is pending, all at once."""
        pending = self._pending
        if pending.generation is None:
            return
        nothing = np.empty((0, self._serving.embeddings.dimensions), np.float32)
        vectors = np.concatenate(pending.vectors) if pending.added else nothing
        await self._search.replace(
            SHARED, pending.removed, pending.added, vectors,
            generation=pending.generation, model=pending.model if pending.added else None, changes=pending.changes,
        )  # fmt: skip
        pending.clear()
        self._behind = False
        self.on_published()

    async def _note_time(self, known: DocumentState, file: FoundFile) -> None:
        async with self._database.write() as session:
            await self._keeping.hold(session)
            await KnowledgeRepository(session).save(
                {"id": known.id, "modified_ns": file.modified_ns, "size_bytes": file.size}
            )

    async def _load(self) -> None:
        """Give the search index all that the database has. What its model has not embedded is found by words alone."""
        async with self._database.read() as session:
            generation = await KnowledgeRepository(session).generation()
        embeddings = self._serving.embeddings
        stored = StoredChunks(self._database, embeddings.model, embeddings.dimensions)
        self._pending.clear()
        await self._search.load(stored.batches(), generation=generation, model=embeddings.model)
        self._on_change()
        self._behind = False


def is_within(name: str, within: str) -> bool:
    """Whether a document of this name is `within`, or below it."""
    return not within or name == within or name.startswith(f"{within}/")


def _counts(report: SyncReport) -> dict[str, Any]:
    counts = {name: len(getattr(report, name)) for name in ("added", "changed", "removed", "failed")}
    return {**counts, "unchanged": report.unchanged, "seconds": round(report.seconds, 3)}
