"""What reading a file gives: its text, and the blocks and pages that the text is made of."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from infrastructure.errors import KnowledgeError
from services.knowledge.readers.limits import TOO_LONG

BlockKind = Literal["heading", "prose", "lines", "qa"]

LONGEST_HEADING = 300
"""Characters of a heading's words as they are repeated with every chunk below it; the text has all of it."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # NUL and lone surrogates: no database takes both


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch `[start, end)` of the text that belongs together.

    `prose` is cut at sentences if it must be cut, `lines` (lists, tables, code) at line ends. A `heading` has its
    level, 1 to 6, and its words. A `qa` is a curated entry: its question, and the place of its answer in the text.
    A block is on one page only; `page` counts from 1, and is None in what has no pages.
    """

    kind: BlockKind
    start: int
    end: int
    level: int = 0
    heading: str = ""
    question: str | None = None
    answer_start: int | None = None
    answer_end: int | None = None
    page: int | None = None


class PageSpan(NamedTuple):
    """Page `page` (or slide), counted from 1, is `[start, end)` of the text. One without text has `start == end`."""

    page: int
    start: int
    end: int


class Reading(NamedTuple):
    """What a reader gives: as `ExtractedDocument`, with the title that the file gives itself, if any."""

    text: str
    blocks: tuple[Block, ...]
    title: str | None = None
    pages: tuple[PageSpan, ...] = ()


@dataclass(frozen=True, slots=True)
class ExtractedDocument:
    """A document's text and structure. Every character but white space is in one of `blocks`, which are in order and
    do not overlap. Lines end with a line feed; there are no NULs and no lone surrogates. `pages` are in order and do
    not overlap; what has no pages has none."""

    text: str
    title: str
    media_type: str
    blocks: tuple[Block, ...]
    pages: tuple[PageSpan, ...] = ()


def page_at(pages: Sequence[PageSpan], place: int) -> int | None:
    """The page on which the character at `place` stands; white space between two pages is on the first."""
    found = bisect_right(pages, place, key=lambda span: span.start)
    return pages[found - 1].page if found else None


def as_sections(blocks: Iterable[Block]) -> tuple[Block, ...]:
    """`blocks` with all headings one level lower, but where exactly one is of level 1: then that one is the title.

    The first heading of level 1 counts as the document's title and no section; chapters of the same level are none.
    """
    found = tuple(blocks)
    if sum(block.kind == "heading" and block.level == 1 for block in found) == 1:
        return found
    return tuple(replace(block, level=min(block.level + 1, 6)) if block.kind == "heading" else block for block in found)


def storable(text: str) -> str:
    """`text` without what escapes in a file can smuggle in but a database cannot keep; same length."""
    return _UNSTORABLE.sub("\ufffd", text)


def normalise_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@dataclass(slots=True)
class TextBuilder:
    """Builds a text piece by piece, with the places of blocks and pages.

    What would be longer than `most` characters raises `KnowledgeError`.
    """

    blocks: list[Block] = field(default_factory=list)
    length: int = 0
    most: int | None = None
    pages: list[PageSpan] = field(default_factory=list)
    _parts: list[str] = field(default_factory=list)
    _page: int | None = None

    def add(self, text: str) -> tuple[int, int]:
        """Append `text`; its place."""
        clean = storable(normalise_newlines(text))
        start, self.length = self.length, self.length + len(clean)
        if self.most is not None and self.length > self.most:
            raise KnowledgeError(TOO_LONG)
        self._parts.append(clean)
        return start, self.length

    def block(self, kind: BlockKind, text: str, *, level: int = 0, after: str = "\n\n") -> None:
        """Append a block and what parts it from the next."""
        start, end = self.add(text)
        heading = " ".join(text.split())[:LONGEST_HEADING] if kind == "heading" else ""
        self.blocks.append(Block(kind, start, end, level, heading, page=self._page))
        self.add(after)

    def begin_page(self, page: int) -> None:
        """What is added from here on is on `page`."""
        self._page = page
        self.pages.append(PageSpan(page, self.length, self.length))

    def end_page(self) -> None:
        """The page ends with the last block on it."""
        page, start, _ = self.pages[-1]
        end = self.blocks[-1].end if self.blocks and self.blocks[-1].start >= start else start
        self.pages[-1] = PageSpan(page, start, end)
        self._page = None

    def build(self) -> str:
        return "".join(self._parts)

    def reading(self, title: str | None = None) -> Reading:
        """All that was added, with headings as they came."""
        return Reading(self.build(), tuple(self.blocks), title, tuple(self.pages))


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
