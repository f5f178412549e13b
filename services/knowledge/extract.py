"""Reading a file: its bytes become a text with structure, or a `KnowledgeError` that says why not."""

import codecs
import re
from collections.abc import Callable
from pathlib import PurePosixPath

from infrastructure.errors import KnowledgeError
from services.knowledge.dataset import curated_entries, dataset_text
from services.knowledge.extracted import Block, ExtractedDocument, TextBuilder, normalise_newlines
from services.knowledge.markdown import markdown_blocks
from services.knowledge.markup import html_blocks
from services.knowledge.structured import Node, flatten, read_json, read_yaml, title_of

DEFAULT_MAX_BYTES = 10 * 1024 * 1024
MEDIA_TYPES = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".txt": "text/plain",
    ".html": "text/html",
    ".htm": "text/html",
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
_PARAGRAPH = re.compile(r"\S(?:.*\n?)(?:[^\S\n]*\S.*\n?)*")
_LONGEST_TITLE = 200
_Read = tuple[str, tuple[Block, ...], str | None]


def media_type(name: str) -> str | None:
    """The media type of a file by its name, None for one that is not read."""
    return MEDIA_TYPES.get(PurePosixPath(name).suffix.lower())


def extract(name: str, data: bytes, *, max_bytes: int = DEFAULT_MAX_BYTES) -> ExtractedDocument:
    """Read a file. Blocks: call it in a thread.

    Args:
        name: the document's name; its ending tells the type.

    Raises:
        KnowledgeError: of an unknown type, too large, not text, or not what its type promises.
    """
    kind = media_type(name)
    if kind is None:
        raise KnowledgeError("files of this type are not read")
    if len(data) > max_bytes:
        raise KnowledgeError(f"larger than {max_bytes} bytes")
    text, blocks, title = _READERS[kind](_decode(data))
    return ExtractedDocument(text, _title(title, name), kind, blocks)


def _decode(data: bytes) -> str:
    """UTF-8 with or without a byte order mark, or UTF-16 with one."""
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise KnowledgeError("not UTF-8 text") from None
    if "\0" in text:
        raise KnowledgeError("not text: it holds NUL bytes")
    return normalise_newlines(text)


def _read_markdown(text: str) -> _Read:
    return text, *markdown_blocks(text)


def _read_plain(text: str) -> _Read:
    return text, tuple(Block("prose", *match.span()) for match in _PARAGRAPH.finditer(text)), None


def _read_html(text: str) -> _Read:
    out, title = html_blocks(text)
    return _built(out, title)


def _read_json(text: str) -> _Read:
    node = read_json(text)
    entries = curated_entries(node)
    return _built(dataset_text(entries), None) if entries else _read_nodes([node], text)


def _read_yaml(text: str) -> _Read:
    return _read_nodes(read_yaml(text), text)


def _read_nodes(nodes: list[Node], text: str) -> _Read:
    # Paths are repeated on every line, which makes a text several times longer; aliases make it endlessly so.
    return _built(flatten(nodes, 100_000 + 10 * len(text)), title_of(nodes[0]) if nodes else None)


def _built(out: TextBuilder, title: str | None) -> _Read:
    return out.build(), tuple(out.blocks), title


_READERS: dict[str, Callable[[str], _Read]] = {
    "text/markdown": _read_markdown,
    "text/plain": _read_plain,
    "text/html": _read_html,
    "application/json": _read_json,
    "application/yaml": _read_yaml,
}


def _title(found: str | None, name: str) -> str:
    """The title that the text gives itself, else the file's name made readable: `close-codes.md` is `Close codes`."""
    if found and found.strip():
        return found.strip()[:_LONGEST_TITLE]
    words = " ".join(re.split(r"[\s._-]+", PurePosixPath(name).stem)).strip()
    return (words[:1].upper() + words[1:])[:_LONGEST_TITLE] or name
