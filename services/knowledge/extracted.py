"""What reading a file gives: its text, and the blocks that the text is made of."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

BlockKind = Literal["heading", "prose", "lines", "qa"]

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # NUL and lone surrogates: no database takes both


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch `[start, end)` of the text that belongs together.

    `prose` is cut at sentences if it must be cut, `lines` (lists, tables, code) at line ends. A `heading` has its
    level, 1 to 6, and its words. A `qa` is a curated entry: its question, and the place of its answer in the text.
    """

    kind: BlockKind
    start: int
    end: int
    level: int = 0
    heading: str = ""
    question: str | None = None
    answer_start: int | None = None
    answer_end: int | None = None


@dataclass(frozen=True, slots=True)
class ExtractedDocument:
    """A document's text and structure. Every character but white space is in one of `blocks`, which are in order and
    do not overlap. Lines end with a line feed; there are no NULs and no lone surrogates."""

    text: str
    title: str
    media_type: str
    blocks: tuple[Block, ...]


def storable(text: str) -> str:
    """`text` without what escapes in a file can smuggle in but a database cannot keep; same length."""
    return _UNSTORABLE.sub("\ufffd", text)


def normalise_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@dataclass(slots=True)
class TextBuilder:
    """Builds a text piece by piece, with the blocks' places."""

    blocks: list[Block] = field(default_factory=list)
    length: int = 0
    _parts: list[str] = field(default_factory=list)

    def add(self, text: str) -> tuple[int, int]:
        """Append `text`; its place."""
        clean = storable(normalise_newlines(text))
        start, self.length = self.length, self.length + len(clean)
        self._parts.append(clean)
        return start, self.length

    def block(self, kind: BlockKind, text: str, *, level: int = 0, after: str = "\n\n") -> None:
        """Append a block and what parts it from the next."""
        start, end = self.add(text)
        heading = " ".join(text.split()) if kind == "heading" else ""
        self.blocks.append(Block(kind, start, end, level, heading))
        self.add(after)

    def build(self) -> str:
        return "".join(self._parts)


def fill_gaps(text: str, blocks: Iterable[Block]) -> tuple[Block, ...]:
    """`blocks` with a prose block wherever text other than white space is in none of them."""
    filled: list[Block] = []
    at = 0
    for block in blocks:
        if text[at : block.start].strip():
            filled.append(Block("prose", at, block.start))
        filled.append(block)
        at = block.end
    if text[at:].strip():
        filled.append(Block("prose", at, len(text)))
    return tuple(filled)
