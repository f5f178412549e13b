"""Chunking: a document's text cut into pieces that are searched, ranked and cited as one.

A chunk never leaves its top-level section. Within it whole blocks are packed up to `size` characters; only a block that
is longer by itself is cut, at the end of a sentence (of a line, in lists, tables and code), else at white space. What
would fit with a little stretch (`STRETCH`) is not cut at all, because a chunk that is a whole paragraph is found and
read better than two that are not. Nor does a chunk leave its page, so that what is cited from it is on that page.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from services.knowledge.extracted import Block, ExtractedDocument

DEFAULT_SIZE = 1200
DEFAULT_OVERLAP = 150
STRETCH = 1.3

_SENTENCE_END = re.compile(
    r"""[.!?…]["'\u201d\u2019»)\]]*(?:\[[^\]\n]{1,20}\])*\s+    # an end, what closes after it, references like [3]
      | [\u3002\uff01\uff1f]["\u201d\u2019\u300d\u300f\uff09]*\s*  # the ends of scripts that put no space after them
      | \n[^\S\n]*\n\s*                                          # an empty line""",
    re.VERBOSE,
)
_LINE_END = re.compile(r"\n\s*")
_SPACE = re.compile(r"\s+")

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document: `text` is exactly `[start, end)` of its text, in code points."""

    start: int
    end: int
    text: str
    section: str | None  # the headings above it, outermost first, joined by " > ", without the document's title
    page: int | None = None  # the one it stands on, counted from 1
    kind: str = "text"  # "qa" for a curated entry
    question: str | None = None
    answer_start: int | None = None
    answer_end: int | None = None


@dataclass(slots=True)
class _Unit:
    """The blocks below one heading, or above the first one."""

    path: Path
    blocks: list[Block] = field(default_factory=list)
    has_body: bool = False

    @property
    def page(self) -> int | None:
        return self.blocks[0].page

    @property
    def start(self) -> int:
        return self.blocks[0].start

    @property
    def end(self) -> int:
        return self.blocks[-1].end


@dataclass(slots=True)
class _Span:
    start: int
    end: int
    path: Path
    page: int | None = None

    def __len__(self) -> int:
        return self.end - self.start


def chunk(document: ExtractedDocument, size: int = DEFAULT_SIZE, overlap: int = DEFAULT_OVERLAP) -> list[Chunk]:
    """The chunks of a document, in order, none longer than `STRETCH` times `size` characters.

    Every character but white space is in at least one, but for a title that has no text of its own below it: that
    one is in the document's title. A curated entry is one chunk, however long. Only pieces of one cut block overlap,
    by at most a third of `size`: with more, each would bring too little that is new.

    Raises:
        ValueError: `size` is less than 20, or `overlap` is negative.
    """
    if size < 20 or overlap < 0:
        raise ValueError("chunk size must be at least 20, and its overlap not negative")
    curated = [block for block in document.blocks if block.kind == "qa"]
    if curated:
        return [_curated_chunk(document.text, block) for block in curated]
    cutter = _Cutter(document.text, size, min(overlap, size // 3))
    spans = [span for group in _without_lone_title(list(_groups(document.blocks))) for span in cutter.pack(group)]
    return [chunk for span in spans if (chunk := _text_chunk(document.text, span))]


def _curated_chunk(text: str, block: Block) -> Chunk:
    return Chunk(
        block.start,
        block.end,
        text[block.start : block.end],
        None,
        kind="qa",
        question=block.question,
        answer_start=block.answer_start,
        answer_end=block.answer_end,
        page=block.page,
    )


def _text_chunk(text: str, span: _Span) -> Chunk | None:
    raw = text[span.start : span.end]
    stripped = raw.strip()
    if not stripped:
        return None
    start = span.start + len(raw) - len(raw.lstrip())
    return Chunk(start, start + len(stripped), stripped, " > ".join(filter(None, span.path)) or None, span.page)


def _groups(blocks: Sequence[Block]) -> Iterator[list[_Unit]]:
    """The units of each top-level section, and of each page of it. The first heading of level 1 is the title: nothing
    stands below it."""
    title = next((block for block in blocks if block.kind == "heading" and block.level == 1), None)
    open_headings: list[Block] = []
    group: list[_Unit] = []
    for block in blocks:
        if group and group[0].page != block.page:
            yield group
            group = []
        if block.kind == "heading":
            while open_headings and open_headings[-1].level >= block.level:
                open_headings.pop()
            if not open_headings and group:
                yield group
                group = []
            if block is not title:
                open_headings.append(block)
        _add(group, block, tuple(heading.heading for heading in open_headings))
    if group:
        yield group


def _add(group: list[_Unit], block: Block, path: Path) -> None:
    is_heading = block.kind == "heading"
    if not group or (is_heading and group[-1].has_body):
        group.append(_Unit(path))
    unit = group[-1]
    unit.blocks.append(block)
    if is_heading:
        unit.path = path  # headings with nothing between them go with the first that has text
    unit.has_body |= not is_heading


def _without_lone_title(groups: list[list[_Unit]]) -> list[list[_Unit]]:
    lone = len(groups) > 1 and [unit for unit in groups[0] if unit.path or unit.has_body] == []
    return groups[1:] if lone else groups


class _Cutter:
    """Packs and cuts the units of one text."""

    def __init__(self, text: str, size: int, overlap: int) -> None:
        self._text = text
        self._size = size
        self._overlap = overlap
        self._most = int(size * STRETCH)

    def pack(self, group: Sequence[_Unit]) -> list[_Span]:
        """The spans of one section: units that are small for a chunk go together."""
        packed: list[_Span] = []
        for unit in group:
            for span in self._unit(unit):
                if packed and self._go_together(packed[-1], span):
                    packed[-1] = _Span(packed[-1].start, span.end, _shared(packed[-1].path, span.path), unit.page)
                else:
                    span.page = unit.page
                    packed.append(span)
        return packed

    def _go_together(self, left: _Span, right: _Span) -> bool:
        together = right.end - left.start
        if left.path == right.path:
            return False  # of one unit: `_unit` has packed them
        small = len(left) < self._size // 2 or len(right) < self._size // 4
        return small and together <= self._size

    def _unit(self, unit: _Unit) -> list[_Span]:
        if unit.end - unit.start <= self._most:
            return [_Span(unit.start, unit.end, unit.path)]
        spans = list(self._blocks(unit))
        if len(spans) > 1 and len(spans[-1]) < self._size // 5 and spans[-1].end - spans[-2].start <= self._most:
            last = spans.pop()
            spans[-1].end = last.end
        return spans

    def _blocks(self, unit: _Unit) -> Iterator[_Span]:
        """Whole blocks up to the size. A heading is never left behind by the block that follows it."""
        start = unit.start
        only_headings = True
        for block, before in zip(unit.blocks, [unit.start, *(b.end for b in unit.blocks)], strict=False):
            if block.end - start > self._size and not only_headings:
                yield _Span(start, before, unit.path)
                start = block.start
            if block.end - start > self._most:
                *full, (start, _) = self._cut(start, block.end, block.kind == "lines")
                yield from (_Span(*place, unit.path) for place in full)
            only_headings = only_headings and block.kind == "heading"
        yield _Span(start, unit.end, unit.path)

    def _cut(self, start: int, end: int, by_line: bool) -> Iterator[tuple[int, int]]:
        order = (_LINE_END, _SENTENCE_END, _SPACE) if by_line else (_SENTENCE_END, _SPACE)
        while end - start > self._most:
            cut = self._last_boundary(start + self._size // 2, start + self._size, order)
            yield start, cut
            start = self._overlap_start(max(start + 1, cut - self._overlap), cut, order)
        yield start, end

    def _last_boundary(self, low: int, high: int, order: Sequence[re.Pattern[str]]) -> int:
        for pattern in order:
            ends = [match.end() for match in pattern.finditer(self._text, low, high)]
            if ends:
                return ends[-1]
        return high

    def _overlap_start(self, low: int, cut: int, order: Sequence[re.Pattern[str]]) -> int:
        """Where the next piece begins: the first whole sentence, line or word of what is repeated."""
        for pattern in order:
            match = pattern.search(self._text, low, cut)
            if match and match.end() < cut:
                return match.end()
        return cut


def _shared(left: Path, right: Path) -> Path:
    """The headings that two places have in common."""
    count = next((n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    return left[:count]
