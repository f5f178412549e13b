"""The parts of an upload's form, told by the parser piece by piece."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING
from uuid import UUID, uuid4

from python_multipart.multipart import parse_options_header

from infrastructure.errors import InvalidInput, PayloadTooLarge, StorageUnavailable

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

NO_FORM = "The body is not a valid multipart/form-data form."
NO_FILE = "The form needs a file, in a field named file."
_NO_ID = "chat_id must be a UUID."
_NO_ROOM = "The upload cannot be kept at the moment."
_MAX_PARTS = 100
_MAX_TEXT_BYTES = 100  # a UUID in any spelling
_BYTES_IN_A_MB = 1024 * 1024


class IncomingFile:
    """A file that is being received into one of its own. `flush`, `close` and `discard` block."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.size = 0  # what has come, written or not
        self.digest = hashlib.sha256()
        self._held = bytearray()
        self._file: IO[bytes] | None = None

    def add(self, data: bytes) -> None:
        self.size += len(data)
        self._held += data

    def flush(self) -> None:
        """Write what is held."""
        if not self._held:
            return
        if self._file is None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._file.write(self._held)
        self.digest.update(self._held)
        self._held = bytearray()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def discard(self) -> None:
        for end in (self.close, self.path.unlink):  # closing writes what is still held
            with suppress(OSError):
                end()


class FormParts:
    """Collects `file` and `chat_id`; other fields are let pass.

    Bytes of files are held until `flush`, which blocks, writes them out. `held` is how many there are.
    """

    def __init__(self, folder: Path, max_files: int, max_file_bytes: int) -> None:
        self.files: list[IncomingFile] = []
        self.chat_id: str | None = None
        self.held = 0
        self._folder = folder
        self._max_files = max_files
        self._max_file_bytes = max_file_bytes
        self._parts = 0
        self._field, self._value = b"", b""
        self._disposition = b""
        self._file: IncomingFile | None = None
        self._text: bytearray | None = None

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._part_begins,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_ends,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._data,
            "on_part_end": self._part_ends,
        }

    def check(self) -> None:
        """
        Raises:
            InvalidInput: there is no file, or one is empty.
        """
        self.files = [file for file in self.files if file.size or file.name]  # a browser's field left empty has neither
        if not self.files:
            raise InvalidInput(NO_FILE)
        if not all(file.size for file in self.files):
            raise InvalidInput("The file is empty.")

    def flush(self) -> None:
        self.held = 0
        try:
            for file in self.files:
                file.flush()
        except OSError:  # the disk is full, say; its text shows a path
            raise StorageUnavailable(_NO_ROOM) from None

    def close(self) -> None:
        """Write what is held and close the files. Blocks."""
        self.flush()
        try:
            for file in self.files:
                file.close()
        except OSError:
            raise StorageUnavailable(_NO_ROOM) from None

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise InvalidInput(f"The form has more than {_MAX_PARTS} fields.")
        self._disposition = b""
        self._file = self._text = None

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field, self._value = b"", b""

    def _headers_end(self) -> None:
        kind, options = parse_options_header(self._disposition)
        if kind != b"form-data" or b"name" not in options:
            raise InvalidInput(NO_FORM)
        name = options[b"name"]
        if name == b"file" and b"filename" in options:
            if len(self.files) == self._max_files:
                raise InvalidInput(f"A request may have {self._max_files} files.")
            self._file = IncomingFile(self._folder / uuid4().hex, _text(options[b"filename"]))
            self.files.append(self._file)
        elif name == b"chat_id" and b"filename" not in options:
            self._text = bytearray()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            if self._file.size + end - start > self._max_file_bytes:
                raise PayloadTooLarge(f"The file is larger than {self._max_file_bytes // _BYTES_IN_A_MB} MB.")
            self._file.add(data[start:end])
            self.held += end - start
        elif self._text is not None:
            self._text += data[start:end]
            if len(self._text) > _MAX_TEXT_BYTES:
                raise InvalidInput(_NO_ID)

    def _part_ends(self) -> None:
        if self._text is not None:
            self.chat_id = _uuid(bytes(self._text))
        self._file = self._text = None


def _uuid(value: bytes) -> str | None:
    """The id in its one spelling; None for an empty field, which a browser's form has.

    Raises:
        InvalidInput: it is none.
    """
    text = value.decode("ascii", "replace").strip()
    if not text:
        return None
    try:
        return str(UUID(text))
    except ValueError:
        raise InvalidInput(_NO_ID) from None


def _text(value: bytes) -> str:
    """A file's name: UTF-8 by all of today's browsers, else byte for byte."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
