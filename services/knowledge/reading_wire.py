"""What the service and its reading process say to each other: frames of one byte for the kind, four for the length, and
the payload. Nothing is pickled: what a process says that read a stranger's file is checked before it is used."""

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from services.knowledge.chunk import Chunk
from services.knowledge.extracted import ExtractedDocument, PageSpan

HEADER = struct.Struct(">BI")
MAX_FRAME_BYTES = 4 * 1024**2
_TEXT_PIECE = 64 * 1024  # characters; at most four times as many bytes
_ROWS_A_FRAME = 256
EXIT_NO_MEMORY = 77


class Kind(enum.IntEnum):
    """READY comes once; then of each file either PROGRESS, DOCUMENT, TEXT, CHUNKS, END in this order, or FAILURE."""

    REQUEST = 1
    READY = 2
    PROGRESS = 3
    DOCUMENT = 4
    TEXT = 5
    CHUNKS = 6
    END = 7
    FAILURE = 8


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """A file that was read: its text, title and pages (`blocks` is empty: they have become chunks), and its chunks."""

    document: ExtractedDocument
    chunks: list[Chunk]


class BadFrames(Exception):
    """The other side does not keep to the protocol."""


def frame(kind: Kind, payload: bytes) -> bytes:
    return HEADER.pack(kind, len(payload)) + payload


def encode(document: ExtractedDocument, chunks: list[Chunk]) -> Iterator[bytes]:
    """The frames of a file that was read, but for its END."""
    about = {
        "title": document.title,
        "media_type": document.media_type,
        "pages": [list(page) for page in document.pages],
    }
    yield frame(Kind.DOCUMENT, orjson.dumps(about))
    for at in range(0, len(document.text), _TEXT_PIECE):
        yield frame(Kind.TEXT, document.text[at : at + _TEXT_PIECE].encode())
    for at in range(0, len(chunks), _ROWS_A_FRAME):
        yield frame(Kind.CHUNKS, orjson.dumps([_row(chunk) for chunk in chunks[at : at + _ROWS_A_FRAME]]))


def decode(about: bytes, texts: list[bytes], chunks: list[bytes]) -> ReadDocument:
    """The file that the payloads of these frames tell of. Blocks for a second with the largest: call it in a thread.

    Raises:
        BadFrames: they do not fit together.
    """
    try:
        text = "".join([piece.decode() for piece in texts])  # growing it in place takes a hundred times as long
        told = orjson.loads(about)
        pages = tuple(_page(text, page) for page in told["pages"])
        document = ExtractedDocument(text, _string(told["title"]), _string(told["media_type"]), (), pages)
        return ReadDocument(document, [_chunk(text, row) for piece in chunks for row in orjson.loads(piece)])
    except (ValueError, TypeError, KeyError) as error:
        raise BadFrames("not a document") from error


def _row(chunk: Chunk) -> list[Any]:
    """Places only: the text is there, and a curated question is the line above its answer."""
    return [chunk.start, chunk.end, chunk.section, chunk.page, chunk.kind, chunk.answer_start, chunk.answer_end]


def _chunk(text: str, row: list[Any]) -> Chunk:
    start, end, section, page, kind, answer_start, answer_end = row
    _check_place(text, start, end)
    if page is not None and type(page) is not int:
        raise BadFrames("not a page")
    if kind == "qa":
        _check_place(text, answer_start, answer_end)
        if not start < answer_start <= answer_end <= end:
            raise BadFrames("not an answer in its entry")
        question = text[start : answer_start - 1]
        return Chunk(start, end, text[start:end], None, page, kind, question, answer_start, answer_end)
    return Chunk(start, end, text[start:end], None if section is None else _string(section), page)


def _page(text: str, page: list[Any]) -> PageSpan:
    number, start, end = page
    _check_place(text, start, end)
    if type(number) is not int:
        raise BadFrames("not a page")
    return PageSpan(number, start, end)


def _check_place(text: str, start: object, end: object) -> None:
    if type(start) is not int or type(end) is not int or not 0 <= start <= end <= len(text):
        raise BadFrames("not a place in the text")


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise BadFrames("not a string")
    return value
