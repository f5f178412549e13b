"""Uploads as they arrive: `multipart/form-data` taken apart while it comes, files to the disk and nothing in memory.

What is too large is refused when it becomes so, not at its end. However a request ends, its temporary files go with it.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartState, parse_options_header
from starlette.types import Receive

from backend.multipart import NO_FORM, FormParts, IncomingFile
from infrastructure.errors import InvalidInput, RateLimited, TooSlow
from infrastructure.storage.threads import in_thread
from services.files import NewFile

MAX_FILES = 20  # of one request
STALL_SECONDS = 30.0
TOTAL_SECONDS = 3600.0
AT_ONCE, AT_ONCE_OF_ONE = 128, 32  # requests that are being read: of all callers, and of one
_SILENT = logging.Logger("multipart", logging.CRITICAL)  # the parser's own would log bytes of what was sent
_HELD_BYTES = 1024 * 1024  # what one hop to a thread writes: SHA-256 takes about 1 ms for it


@dataclass(frozen=True, slots=True)
class UploadForm:
    """What a form had: its files (at least one, none empty), in order, and the chat that they are for."""

    files: list[NewFile]
    chat_id: str | None


class UploadReader:
    """Reads forms into files of `folder`, which is made when missing.

    Args:
        max_file_bytes: of each file.
        stall_seconds: how long not a byte may come.
    """

    def __init__(self, folder: Path, max_file_bytes: int, *, stall_seconds: float = STALL_SECONDS) -> None:
        self._folder = folder
        self._max_file_bytes = max_file_bytes
        self._stall_seconds = stall_seconds
        self._under_way: Counter[str] = Counter()

    @asynccontextmanager
    async def read(self, content_type: str, receive: Receive, caller: str) -> AsyncIterator[UploadForm]:
        """The form that comes in; its files are there until the end of the block.

        Raises:
            InvalidInput: it is no such form, or has no file, or breaks off.
            PayloadTooLarge: a file is larger than it may be.
            TooSlow: it has stalled.
            RateLimited: too many are being read.
        """
        with self._one_more(caller):
            parts = FormParts(self._folder, MAX_FILES, self._max_file_bytes)
            try:
                await self._take(parts, content_type, receive)
                yield UploadForm([_new_file(file) for file in parts.files], parts.chat_id)
            finally:
                await in_thread(_discard, parts.files)

    async def clear(self, before: datetime) -> int:
        """Remove what a process that has died left of uploads, last written to before a moment; how many files."""
        return await in_thread(_clear, self._folder, before.timestamp())

    async def _take(self, parts: FormParts, content_type: str, receive: Receive) -> None:
        parser = _parser(parts, content_type)
        async for chunk in self._chunks(receive):
            try:
                parser.write(chunk)
            except FormParserError:  # its text shows what was sent
                raise InvalidInput(NO_FORM) from None
            if parts.held >= _HELD_BYTES:
                await in_thread(parts.flush)
        if parser.state != MultipartState.END:
            raise InvalidInput(NO_FORM)
        parts.check()
        await in_thread(parts.close)

    async def _chunks(self, receive: Receive) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        ends = loop.time() + TOTAL_SECONDS
        while True:
            try:
                async with asyncio.timeout_at(min(loop.time() + self._stall_seconds, ends)):
                    message = await receive()
            except TimeoutError:
                raise TooSlow("The upload takes too long.") from None
            if message["type"] == "http.disconnect":  # nobody hears this
                raise InvalidInput("The upload broke off.")
            if message.get("body"):
                yield message["body"]
            if not message.get("more_body", False):
                return

    @contextmanager
    def _one_more(self, caller: str) -> Iterator[None]:
        if self._under_way.total() >= AT_ONCE or self._under_way[caller] >= AT_ONCE_OF_ONE:
            raise RateLimited("Too many uploads at once. Try again in a moment.", retry_after=1.0)
        self._under_way[caller] += 1
        try:
            yield
        finally:
            self._under_way[caller] -= 1
            if not self._under_way[caller]:
                del self._under_way[caller]


def _parser(parts: FormParts, content_type: str) -> MultipartParser:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise InvalidInput("Send the file as multipart/form-data, in a field named file.")
    try:
        parser = MultipartParser(boundary, parts.callbacks())
    except FormParserError:  # the boundary is too long
        raise InvalidInput(NO_FORM) from None
    parser.logger = _SILENT
    return parser


def _new_file(file: IncomingFile) -> NewFile:
    return NewFile(file.path, file.name, file.size, file.digest.hexdigest())


def _discard(files: list[IncomingFile]) -> None:
    for file in files:
        file.discard()


def _clear(folder: Path, before: float) -> int:
    count = 0
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            with suppress(OSError):
                if path.stat().st_mtime < before:
                    path.unlink()
                    count += 1
    return count
