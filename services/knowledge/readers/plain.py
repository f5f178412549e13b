"""Plain text: paragraphs, which empty lines part. Source code: the same, but only where what follows stands at the
beginning of its line, so that a function is one block however many empty lines it has."""

import re
from collections.abc import Iterator

from services.knowledge.extracted import Block, BlockKind, Reading
from services.knowledge.readers.limits import ReadingLimits

MANY_LINES = 200_000
"""From here on structure is sought in a cheaper way: 10 µs a line are two seconds here, and minutes in 50 MB."""

LEAST_OF_MANY = 300
"""Characters of a block in a text of many lines."""

_BEGIN = re.compile(r"\S")
_GAP = re.compile(r"\n[^\S\n]*(?:\n\s*|\Z)")  # from the end of a line to where the text goes on after empty ones


def read_plain(text: str, limits: ReadingLimits) -> Reading:
    return Reading(text, tuple(paragraphs(text, 0, len(text), least=_least(text))))


def read_source(text: str, limits: ReadingLimits) -> Reading:
    return Reading(text, tuple(_stretches(text, "lines", 0, len(text), _least(text))))


def paragraphs(text: str, begin: int, end: int, *, least: int) -> Iterator[Block]:
    """The paragraphs of `text[begin:end]` as blocks of prose, those of less than `least` characters with the next."""
    return _stretches(text, "prose", begin, end, least)


def _least(text: str) -> int:
    return LEAST_OF_MANY if text.count("\n") > MANY_LINES else 0


def _stretches(text: str, kind: BlockKind, at: int, stop: int, least: int) -> Iterator[Block]:
    first = _BEGIN.search(text, at, stop)
    begin = first.start() if first else stop
    for gap in _GAP.finditer(text, begin, stop):
        is_inner = kind == "lines" and text[gap.end() - 1] != "\n"
        end = gap.start() + 1
        if gap.end() == stop or not (is_inner or end - begin < least):
            yield Block(kind, begin, end)
            begin = gap.end()
    if begin < stop:
        yield Block(kind, begin, stop)
