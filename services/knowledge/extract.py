"""Reading a file: its bytes become a text with structure, or a `KnowledgeError` that says why not."""

import importlib
import re
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, cast

from infrastructure.errors import KnowledgeError
from services.knowledge.extracted import ExtractedDocument, Reading, normalise_newlines, storable
from services.knowledge.readers.limits import NO_TEXT, TOO_LONG, ReadingLimits
from services.text_encoding import decode_text

DEFAULT_MAX_BYTES = 10 * 1024 * 1024
_OFFICE = "application/vnd.openxmlformats-officedocument."
_DOCUMENTS = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".txt": "text/plain",
    ".html": "text/html",
    ".htm": "text/html",
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".pdf": "application/pdf",
    ".docx": f"{_OFFICE}wordprocessingml.document",
    ".pptx": f"{_OFFICE}presentationml.presentation",
    ".xlsx": f"{_OFFICE}spreadsheetml.sheet",
    ".epub": "application/epub+zip",
}
_SOURCE = "text/x-"
_SOURCES = {
    "c": "c h",
    "c++": "cc cpp cxx hh hpp",
    "csharp": "cs",
    "css": "css scss less",
    "dart": "dart",
    "elixir": "ex exs",
    "erlang": "erl",
    "go": "go",
    "graphql": "graphql",
    "haskell": "hs",
    "ini": "ini cfg conf properties",
    "java": "java",
    "javascript": "js mjs cjs jsx",
    "julia": "jl",
    "kotlin": "kt kts",
    "log": "log",
    "lua": "lua",
    "perl": "pl pm",
    "php": "php",
    "proto": "proto",
    "python": "py pyi",
    "r": "r",
    "rst": "rst",
    "ruby": "rb",
    "rust": "rs",
    "scala": "scala",
    "sh": "sh bash zsh",
    "sql": "sql",
    "svelte": "svelte",
    "swift": "swift",
    "tex": "tex",
    "terraform": "tf",
    "toml": "toml",
    "typescript": "ts tsx",
    "vue": "vue",
    "xml": "xml",
}
MEDIA_TYPES = _DOCUMENTS | {f".{end}": f"{_SOURCE}{name}" for name, ends in _SOURCES.items() for end in ends.split()}
_LONGEST_TITLE = 200


class _Reader(NamedTuple):
    """Where a reader is: modules are imported with the first file of their type, for some take half a second."""

    module: str
    function: str
    takes: Literal["text", "bytes"] = "text"


_READERS = {
    "text/markdown": _Reader("texts", "read_markdown"),
    "text/plain": _Reader("plain", "read_plain"),
    "text/html": _Reader("texts", "read_html"),
    "application/json": _Reader("texts", "read_json"),
    "application/yaml": _Reader("texts", "read_yaml"),
    "text/csv": _Reader("csv", "read_csv"),
    "text/tab-separated-values": _Reader("csv", "read_tsv"),
    "application/pdf": _Reader("pdf", "read_pdf", "bytes"),
    _DOCUMENTS[".docx"]: _Reader("docx", "read_docx", "bytes"),
    _DOCUMENTS[".pptx"]: _Reader("pptx", "read_pptx", "bytes"),
    _DOCUMENTS[".xlsx"]: _Reader("xlsx", "read_xlsx", "bytes"),
    "application/epub+zip": _Reader("epub", "read_epub", "bytes"),
}


def media_type(name: str) -> str | None:
    """The media type of a file by its name, None for one that is not read."""
    return MEDIA_TYPES.get(PurePosixPath(name).suffix.lower())


def extract(name: str, data: bytes, *, max_bytes: int = DEFAULT_MAX_BYTES) -> ExtractedDocument:
    """Read a file of the operator's own. Blocks: call it in a thread.

    Args:
        name: the document's name; its ending tells the type.

    Raises:
        KnowledgeError: of an unknown type, too large, not text, or not what its type promises.
    """
    if len(data) > max_bytes:
        raise KnowledgeError(f"larger than {max_bytes} bytes")
    return _read(name, media_type(name), data, ReadingLimits())


def extract_file(path: Path, name: str, media_type: str, limits: ReadingLimits) -> ExtractedDocument:
    """Read a file that somebody sent. Blocks, and may take all the time and memory there is: see `ReadingProcess`.

    Args:
        name: the name it was sent under; only for a title, where the file has none of its own.
        media_type: one of `MEDIA_TYPES`; it decides how the file is read.

    Raises:
        KnowledgeError: as `extract`, and where it holds no text.
        OSError: the file cannot be opened.
    """
    document = _read(name, media_type, path.read_bytes(), limits)
    if not document.text.strip():
        raise KnowledgeError(NO_TEXT)
    return document


def _read(name: str, kind: str | None, data: bytes, limits: ReadingLimits) -> ExtractedDocument:
    reader = _reader(kind or "")
    if kind is None or reader is None:
        raise KnowledgeError("files of this type are not read")
    function = getattr(importlib.import_module(f"services.knowledge.readers.{reader.module}"), reader.function)
    if reader.takes == "bytes" and not data:
        raise KnowledgeError(NO_TEXT)
    source = data if reader.takes == "bytes" else _decode(data)
    del data  # of a large file, so that it is not there twice
    reading = cast(Reading, function(source, limits))
    if len(reading.text) > limits.text_chars:
        raise KnowledgeError(TOO_LONG)
    return ExtractedDocument(reading.text, _title(reading.title, name), kind, reading.blocks, reading.pages)


def _reader(kind: str) -> _Reader | None:
    if kind in _READERS:
        return _READERS[kind]
    return _Reader("plain", "read_source") if kind in MEDIA_TYPES.values() else None


def _decode(data: bytes) -> str:
    """UTF-8, UTF-16 with a byte order mark, or what an older encoding's text looks like."""
    try:
        return normalise_newlines(decode_text(data))
    except ValueError:
        raise KnowledgeError("it is not text") from None


def _title(found: str | None, name: str) -> str:
    """The title that the text gives itself, else the file's name made readable: `close-codes.md` is `Close codes`."""
    if found and found.strip():
        return storable(found.strip()[:_LONGEST_TITLE])
    words = " ".join(re.split(r"[\s._-]+", PurePosixPath(name).stem)).strip()
    return (words[:1].upper() + words[1:])[:_LONGEST_TITLE] or name
