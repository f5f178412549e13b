"""Reading what strangers send, in a process of its own that may be killed: see `reading_worker` for what binds it."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from infrastructure.errors import KnowledgeError, ReadingInterrupted
from services.knowledge.reader_child import Answer, ChildDied, ReaderChild
from services.knowledge.readers.limits import DAMAGED, TOO_MUCH_MEMORY, TOO_SLOW, ReadingLimits
from services.knowledge.reading_wire import EXIT_NO_MEMORY, BadFrames, ReadDocument, decode

__all__ = ["ReadDocument", "ReadingLimits", "ReadingProcess"]

_logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_INTERRUPTED = "Reading the file was interrupted."
_REASONS: Final = {
    -signal.SIGXCPU: TOO_SLOW,
    EXIT_NO_MEMORY: TOO_MUCH_MEMORY,
    # PDFium ends the process in one of these ways when it gets no memory.
    -signal.SIGABRT: TOO_MUCH_MEMORY,
    -signal.SIGILL: TOO_MUCH_MEMORY,
    -signal.SIGTRAP: TOO_MUCH_MEMORY,
    -signal.SIGSEGV: DAMAGED,
    -signal.SIGBUS: DAMAGED,
    -signal.SIGFPE: DAMAGED,
}
"""What a child's end says of the file it was reading; any other end says nothing."""


class ReadingProcess:
    """Reads files, `processes` at a time, each in a process that is started when it is needed and kept for the next."""

    def __init__(self, limits: ReadingLimits, *, chunk_size: int, chunk_overlap: int, processes: int = 1) -> None:
        self._limits = limits
        self._chunk_size = chunk_size
        self._chunk_overlap = chunk_overlap
        self._turns = asyncio.Semaphore(processes)
        self._idle: list[ReaderChild] = []
        self._busy: set[ReaderChild] = set()
        self._closed = False

    async def read(
        self, path: Path, name: str, media_type: str, on_progress: Callable[[str], None] = lambda stage: None
    ) -> ReadDocument:
        """Read and cut a file. Waits its turn; the time limit counts from when reading begins.

        Args:
            name: the name it was sent under, from which it gets a title if it has none of its own.
            media_type: one of `extract.MEDIA_TYPES`.
            on_progress: told "reading", then "chunking".

        Raises:
            KnowledgeError: it cannot be read, for the reason that the message gives; trying again is of no use.
            ReadingInterrupted: it was not the file's fault, so try again.
        """
        async with self._turns:
            for is_last in (False, True):
                child = await self._take()
                try:
                    answer = await self._ask(child, path, name, media_type, on_progress)
                    return await _read_document(answer, media_type)
                except ChildDied as died:
                    # One that had been idle may have been gone before it was asked.
                    if child.is_fresh or child.has_begun or is_last:
                        raise _told(died, child.has_begun) from None
        raise AssertionError("unreachable")

    async def aclose(self) -> None:
        """End all children. Files that are being read end with `ReadingInterrupted`."""
        self._closed = True
        busy, idle = list(self._busy), list(self._idle)
        self._idle.clear()
        for child in busy:
            child.kill()
        await asyncio.gather(*(child.finish() for child in idle), *(child.ended() for child in busy))

    async def _take(self) -> ReaderChild:
        if self._closed:
            raise ReadingInterrupted(_INTERRUPTED)
        if self._idle:
            return self._idle.pop()
        try:
            child = await ReaderChild.start(self._limits, self._chunk_size, self._chunk_overlap)
        except ChildDied as died:
            _logger.error("reading_process_failed_to_start", status=died.status)
            raise ReadingInterrupted(_INTERRUPTED) from None
        if self._closed:  # meanwhile
            await child.finish()
            raise ReadingInterrupted(_INTERRUPTED)
        return child

    async def _ask(
        self, child: ReaderChild, path: Path, name: str, media_type: str, on_progress: Callable[[str], None]
    ) -> Answer:
        answer = None
        self._busy.add(child)
        try:
            async with asyncio.timeout(self._limits.seconds):
                answer = await child.ask(path, name, media_type, on_progress)
        except TimeoutError:
            raise KnowledgeError(TOO_SLOW) from None
        except BadFrames as error:
            raise _nonsense(error) from None
        finally:
            self._busy.discard(child)
            await self._put_back(child, answer)
        return answer

    async def _put_back(self, child: ReaderChild, answer: Answer | None) -> None:
        if answer is None:
            await child.end()
        elif answer.goes_on and not self._closed:
            self._idle.append(child)
        else:
            await child.finish()


async def _read_document(answer: Answer, media_type: str) -> ReadDocument:
    if answer.reason:
        if answer.fault:
            _logger.warning("document_reader_failed", media_type=media_type, fault=answer.fault)
        raise KnowledgeError(answer.reason)
    try:
        return await asyncio.to_thread(decode, answer.about, answer.texts, answer.chunks)
    except BadFrames as error:
        raise _nonsense(error) from None


def _nonsense(error: BadFrames) -> KnowledgeError:
    """Only a file that has the process in its hand makes it say what it would never say."""
    _logger.warning("reading_process_sent_nonsense", fault=str(error))
    return KnowledgeError(DAMAGED)


def _told(died: ChildDied, has_begun: bool) -> KnowledgeError | ReadingInterrupted:
    reason = _REASONS.get(died.status) if has_begun else None
    _logger.warning("reading_process_died", status=died.status)
    return KnowledgeError(reason) if reason else ReadingInterrupted(_INTERRUPTED)
