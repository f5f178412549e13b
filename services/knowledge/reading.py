"""A file of the knowledge folder, read and cut, ready to be embedded and saved."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from infrastructure.errors import KnowledgeError
from services.knowledge.chunk import Chunk, chunk
from services.knowledge.extract import extract
from services.knowledge.extracted import ExtractedDocument
from services.knowledge.folder import FoundFile, read

_logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

RECIPE_VERSION = 1  # counted up when reading or chunking changes, so that unchanged files are read anew


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
    """Reads and cuts files, all in the same way: that of `recipe`."""

    chunk_size: int
    chunk_overlap: int
    max_bytes: int

    @property
    def recipe(self) -> str:
        return f"{RECIPE_VERSION}:{self.chunk_size}:{self.chunk_overlap}:{self.max_bytes}"

    def prepare(self, file: FoundFile) -> PreparedFile:
        """Read a file; whatever is wrong with it becomes its `reason`. Blocks: call it in a thread.

        Raises:
            FileNotFoundError: it is gone since the folder was scanned.
        """
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
