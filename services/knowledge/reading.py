"""A file of the knowledge folder, read and cut, ready to be embedded and saved."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from infrastructure.errors import AskGraphError, KnowledgeError, ReadingInterrupted
from services.knowledge.chunk import Chunk, chunk
from services.knowledge.extract import extract, media_type
from services.knowledge.extracted import ExtractedDocument
from services.knowledge.folder import FoundFile, read
from services.knowledge.reading_process import ReadDocument, ReadingProcess

_logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

RECIPE_VERSION = 2  # counted up when reading or chunking changes, so that unchanged files are read anew


LIGHT_BYTES = 256 * 1024  # a text of this size is read and cut in some milliseconds
_LIGHT = frozenset({"text/markdown", "text/plain", "text/html", "application/json", "application/yaml", "text/csv"})


@dataclass(frozen=True, slots=True)
class PreparedFile:
    """A file as it is about to be saved. Without a document it is one that could not be read, for `reason`."""

    file: FoundFile
    checksum: str  # SHA-256 of its bytes, hexadecimal; empty when there are none
    document: ExtractedDocument | None = None
    chunks: Sequence[Chunk] = ()
    reason: str | None = None

    @property
    def title(self) -> str:
        return self.document.title if self.document else ""


@dataclass(frozen=True, slots=True)
class FileReader:
    """Reads and cuts files, all in the same way: that of `recipe`.

    Small texts are read in a thread. Large ones, and files of types that take a parser of their own, are read in
    `process`, where there is one: what goes wrong there goes wrong alone.
    """

    chunk_size: int
    chunk_overlap: int
    max_bytes: int
    process: ReadingProcess | None = None

    @property
    def recipe(self) -> str:
        return f"{RECIPE_VERSION}:{self.chunk_size}:{self.chunk_overlap}:{self.max_bytes}"

    async def prepare(self, file: FoundFile) -> PreparedFile:
        """Read a file; whatever is wrong with it becomes its `reason`.

        Raises:
            FileNotFoundError: it is gone since the folder was scanned.
        """
        kind = media_type(file.name)
        if self.process is None or kind is None or (kind in _LIGHT and file.size <= LIGHT_BYTES):
            return await asyncio.to_thread(self._prepare, file)
        checksum = ""
        try:
            checksum = await asyncio.to_thread(self._checksum, file)
            found = await self._read_apart(self.process, file, kind)
        except AskGraphError as error:
            return PreparedFile(file, checksum, reason=error.message)
        return PreparedFile(file, checksum, found.document, found.chunks)

    async def _read_apart(self, process: ReadingProcess, file: FoundFile, kind: str) -> ReadDocument:
        try:
            return await process.read(file.path, file.name, kind)
        except ReadingInterrupted:  # for no fault of the file's: once more
            return await process.read(file.path, file.name, kind)

    def _checksum(self, file: FoundFile) -> str:
        return hashlib.sha256(read(file, self.max_bytes)).hexdigest()

    def _prepare(self, file: FoundFile) -> PreparedFile:
        checksum = ""
        try:
            data = read(file, self.max_bytes)
            checksum = hashlib.sha256(data).hexdigest()
            document = extract(file.name, data, max_bytes=self.max_bytes)
            return PreparedFile(file, checksum, document, chunk(document, self.chunk_size, self.chunk_overlap))
        except KnowledgeError as error:
            return PreparedFile(file, checksum, reason=error.message)
        except FileNotFoundError:
            raise
        except Exception:  # the edge of a file's own work: a fault in a reader must not stop the others
            _logger.exception("knowledge_reader_failed", document=file.name)
            return PreparedFile(file, checksum, reason="it could not be read")
