"""What a file is, by its content: its name only tells one kind of text from another."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from infrastructure.errors import InvalidInput, UnsupportedMediaType
from services.file_signatures import guessed, refused_at_sight
from services.knowledge.extract import MEDIA_TYPES
from services.office_types import OLE_SIGNATURE, ZIP_SIGNATURES, old_office_refusal, zip_media_type
from services.text_encoding import text_encoding

HEAD_BYTES = 64 * 1024
PDF = "application/pdf"
HTML = "text/html"
PLAIN = "text/plain"
_PDF_WITHIN = 1024  # bytes from the beginning, as readers of PDF take it (PDF 1.7 reference, appendix H, note 13)
_TAIL_BYTES = 2048
_HTML = re.compile(
    r"\s*+(?:<\?xml[^>]*+>\s*+)?(?:<!--(?>.*?-->)\s*+)*+(?:<!doctype\s+html\b|<html[\s>])", re.IGNORECASE | re.DOTALL
)
_HTML_WITHIN = 8192  # characters
_TEXT_TYPES = {
    ending: kind for ending, kind in MEDIA_TYPES.items() if kind.startswith("text/") or kind.endswith(("json", "yaml"))
}
_ALIASES = {
    ".geojson": ".json", ".ipynb": ".json", ".mdown": ".md", ".mkd": ".md", ".mdx": ".md", ".xhtml": ".html",
    ".tab": ".tsv",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FileType:
    """A media type, one of `MEDIA_TYPES`. For a text also the encoding of its first 64 KiB, by Python's name for it.
    ASCII so far may be another further on: whoever reads all of it asks `services.text_encoding.decode_text`."""

    media_type: str
    encoding: str | None = None


def file_type(path: Path, name: str) -> FileType:
    """What the file at `path`, which was sent as `name`, is. Reads 64 KiB, and the directory of a ZIP file. Blocks.

    Raises:
        InvalidInput: it is empty.
        UnsupportedMediaType: it is of a kind that is not read; the message says which.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        if not head:
            raise InvalidInput("The file is empty.")
        if head.startswith(ZIP_SIGNATURES):
            return FileType(zip_media_type(file))
        if head.startswith(OLE_SIGNATURE):
            raise old_office_refusal(file, head)
        if what := refused_at_sight(head):
            raise UnsupportedMediaType(f"{what} are not read.")
        if _is_pdf(file, head):
            return FileType(PDF)
    return _text_type(head, name)


def _is_pdf(file: IO[bytes], head: bytes) -> bool:
    if head.startswith(b"%PDF-"):
        return True
    if b"%PDF-" not in head[:_PDF_WITHIN]:
        return False
    file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
    return b"startxref" in file.read(_TAIL_BYTES)  # else it is a text that speaks of PDF


def _text_type(head: bytes, name: str) -> FileType:
    encoding = text_encoding(head, is_cut=len(head) == HEAD_BYTES)
    if encoding is None:
        what = guessed(head)
        raise UnsupportedMediaType(
            f"{what} are not read." if what else "The file is neither text nor a document of a kind that is read."
        )
    ending = PurePosixPath(name).suffix.lower()
    kind = _TEXT_TYPES.get(_ALIASES.get(ending, ending), PLAIN)
    is_source = kind.startswith("text/x-")  # a template of a page is source code, however it begins
    if not is_source and _HTML.match(head.decode(encoding, "replace")[:_HTML_WITHIN]):
        kind = HTML
    return FileType(kind, encoding)
