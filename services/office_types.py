"""Which Office document or book is in a container: in a ZIP file, or in Microsoft's older kind (OLE2)."""

import re
import struct
import zipfile
import zlib
from typing import IO

from infrastructure.errors import UnsupportedMediaType

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
EPUB = "application/epub+zip"

ZIP_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
OLE_SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
MAX_ENTRIES = 10_000
_MAX_DIRECTORY_BYTES = 4 * 1024 * 1024  # what zipfile reads at once
_MAX_CONTENT_TYPES_BYTES = 1024 * 1024
_ENTRY_SIGNATURE = b"PK\x01\x02"
# The type of a main part: `….wordprocessingml.document.main+xml`, `….template.main+xml`, with macros
# `…ms-word.document.macroEnabled.main+xml` (ECMA-376 part 1, 11 to 13; MS-OFFMACRO2). Nothing embedded has such a type.
_MAIN_PART = re.compile(
    r"ContentType\s*=\s*[\"']application/vnd\.(?:openxmlformats-officedocument\.|ms-)"
    r"(wordprocessingml|word|presentationml|powerpoint|spreadsheetml|excel)\.[\w.]+\.main\+xml[\"']"
)
_KINDS = {
    "wordprocessingml": DOCX,
    "word": DOCX,
    "presentationml": PPTX,
    "powerpoint": PPTX,
    "spreadsheetml": XLSX,
    "excel": XLSX,
}
_ARCHIVE = "Archives are not read."
_OTHER = "Files of this kind are not read."
_DAMAGED = "The file is damaged: its ZIP directory cannot be read."


def zip_media_type(file: IO[bytes]) -> str:
    """The media type of a document that is a ZIP file, by its directory and its list of content types.

    Raises:
        UnsupportedMediaType: it is another archive, is encrypted or damaged, or has more than 10,000 entries.
    """
    try:
        with zipfile.ZipFile(_DirectoryReader(file)) as archive:
            return _document_type(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, struct.error, OverflowError, OSError):
        raise UnsupportedMediaType(_DAMAGED) from None
    except (NotImplementedError, RuntimeError):  # a method of compression that is not known; a password
        raise UnsupportedMediaType(_ARCHIVE) from None


def old_office_refusal(file: IO[bytes], head: bytes) -> UnsupportedMediaType:
    """Why an OLE2 file is not read."""
    names = _ole_names(file, head)
    if "EncryptedPackage" in names:
        return UnsupportedMediaType("Encrypted Office files are not read.")
    for name, kind, newer in _OLD_KINDS:
        if name in names:
            return UnsupportedMediaType(f"{kind} files of before 2007 are not read: save it as {newer}.")
    return UnsupportedMediaType(_OTHER)


_OLD_KINDS = (
    ("WordDocument", "Word", ".docx"),
    ("Workbook", "Excel", ".xlsx"),
    ("Book", "Excel", ".xlsx"),
    ("PowerPoint Document", "PowerPoint", ".pptx"),
)


class _DirectoryReader:
    """A file as `zipfile` sees it, which reads a directory whole and makes an object of each entry, however many."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1) -> bytes:
        limit = _MAX_DIRECTORY_BYTES + 1
        data = self._file.read(limit if size < 0 else min(size, limit))
        if len(data) == limit:
            raise UnsupportedMediaType(_ARCHIVE)
        if data.count(_ENTRY_SIGNATURE) > MAX_ENTRIES:
            raise UnsupportedMediaType("Archives of more than 10,000 files are not read.")
        return data


def _document_type(archive: zipfile.ZipFile) -> str:
    names = set(archive.namelist())
    if "[Content_Types].xml" in names:
        kinds = {_KINDS[found] for found in _MAIN_PART.findall(_text(archive, "[Content_Types].xml"))}
        if len(kinds) == 1:
            return kinds.pop()
        raise UnsupportedMediaType(_OTHER)
    elif "mimetype" in names:
        kind = _text(archive, "mimetype").strip()
        if kind == EPUB:
            return EPUB
        if kind.startswith("application/vnd.oasis.opendocument"):
            raise UnsupportedMediaType("OpenDocument files are not read.")
    raise UnsupportedMediaType(_ARCHIVE)


def _text(archive: zipfile.ZipFile, name: str) -> str:
    """The beginning of a member, never more than a mebibyte however much it unpacks to."""
    info = archive.getinfo(name)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnsupportedMediaType(_ARCHIVE)  # no such document has another; some can take gigabytes to unpack
    with archive.open(info) as member:
        data = member.read(_MAX_CONTENT_TYPES_BYTES)
    return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")


def _ole_names(file: IO[bytes], head: bytes) -> set[str]:
    """The names in an OLE2 file's directory: at most 64 sectors of it (MS-CFB 2.2, 2.3 and 2.6)."""
    if len(head) < 512:
        return set()
    size = 1 << min(struct.unpack_from("<H", head, 30)[0], 12)
    sector = struct.unpack_from("<I", head, 48)[0]
    tables = struct.unpack_from("<109I", head, 76)
    names: set[str] = set()
    for _ in range(64):
        directory = _ole_sector(file, sector, size)
        for start in range(0, len(directory) - 127, 128):
            length = min(struct.unpack_from("<H", directory, start + 64)[0], 64)
            names.add(directory[start : start + max(length - 2, 0)].decode("utf-16-le", "replace"))
        which, place = divmod(sector * 4, size)
        table = _ole_sector(file, tables[which], size) if which < len(tables) else b""
        if len(table) < place + 4:
            break
        sector = struct.unpack_from("<I", table, place)[0]
    return names


def _ole_sector(file: IO[bytes], number: int, size: int) -> bytes:
    """A sector's bytes; none for what is past the end, as the numbers that mean "none" are."""
    file.seek((number + 1) * size)
    return file.read(size)
