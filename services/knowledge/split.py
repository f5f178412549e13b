"""Sentences of a text, with their exact places."""

# ruff: noqa: RUF001 -- the marks of several scripts are what this is about

import re
from collections.abc import Iterator

Span = tuple[int, int]

_HEADING = re.compile(r"\s{0,3}#{1,6}(\s|$)")
_RULE = re.compile(r"\s*(?:[-=*_]{3,}|\|?[\s:|-]*-{2,}[\s:|-]*)\s*$")  # rules, underlines, a table's separator row
_UNDERLINE = re.compile(r"\s{0,3}(?:={3,}|-{3,})\s*$")  # below one line of text it makes that line a heading
_FENCE = re.compile(r"\s*(?:```|~~~)")
_ITEM = re.compile(r"\s*(?:[-*+•]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+")
_ROW = re.compile(r"\s*\|.*\|\s*$")
_END = re.compile(
    r"""[.!?…]+ ["'”’»)\]]* (?:\[[^\]\n]{1,40}\])*   # the end, what closes after it, a reference like [3]
        (?=\s+ ["'“‘«(\[]* (?:[^\W_a-z]) | \s*$)      # then white space and something that begins: not a small letter
      | [。！？]+ ["”’」』）]*                          # scripts that put no space after the end
    """,
    re.VERBOSE,
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[\"'“‘/-])(?:[A-Z]|(?:[A-Za-z]\.)+[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|Rev|Gen|Col|Capt|Lt|Sgt|Gov|Sen|Rep"
    r"|Hon|St|Sr|Jr|vs|cf|al|approx|ca|ed|eds|vol|fig|Fig|eq|Eq|sec|Sec|pp|Inc|Ltd|Co|Corp"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec|Mt|Ft)$"
)
_NUMBERED = re.compile(r"\b[Nn]o\.\s*\d")  # "no." ends a sentence, but not before a number
_LONGEST_ABBREVIATION = 16


def split_sentences(text: str) -> list[Span]:
    """Places `[start, end)` of the sentences of `text`, in order, without white space around them.

    A list item and a table's row begin sentences of their own; headings, rules and code fences are none; a line break
    within a paragraph ends nothing.
    """
    spans: list[Span] = []
    for start, end, whole in _blocks(text):
        if not whole:
            spans.extend(_sentences(text, start, end))
        elif span := _trimmed(text, start, end):
            spans.append(span)
    return spans


def _blocks(text: str) -> Iterator[tuple[int, int, bool]]:
    """Stretches of whole lines that a sentence does not leave: paragraphs and list items; and lines of tables and code,
    which are one sentence each (True).
    """
    begun: int | None = None
    at = 0
    fenced = False
    for line in text.splitlines(keepends=True):
        stop = at + len(line)
        fence = bool(_FENCE.match(line))
        alone = bool(_ROW.match(line)) or fenced
        ends_block = fence or alone or not line.strip() or bool(_HEADING.match(line)) or bool(_RULE.match(line))
        if begun is not None and (ends_block or _ITEM.match(line)):
            if not (_UNDERLINE.match(line) and "\n" not in text[begun : at - 1]):
                yield begun, at, False
            begun = None
        fenced ^= fence
        if alone and not fence and not _RULE.match(line):
            yield at, stop, True
        elif not ends_block and begun is None:
            begun = at
        at = stop
    if begun is not None:
        yield begun, at, False


def _sentences(text: str, start: int, end: int) -> Iterator[Span]:
    for match in _END.finditer(text, start, end):
        if match.end() < end and _is_abbreviation(text, start, match):
            continue
        span = _trimmed(text, start, match.end())
        if span:
            yield span
        start = match.end()
    span = _trimmed(text, start, end)
    if span:
        yield span


def _is_abbreviation(text: str, start: int, match: re.Match[str]) -> bool:
    """Whether the full stop at `match` belongs to the word before it (`Dr.`, `e.g.`, `J.`), or to an item's number."""
    if not match.group().startswith(".") or match.group().startswith(".."):
        return False
    before = text[max(start, match.start() - _LONGEST_ABBREVIATION) : match.start()]
    if _ABBREVIATION.search(before) or _NUMBERED.match(text, match.start() - 2):
        return True
    return before.strip().isdigit() and match.start() - start <= len(before)


def _trimmed(text: str, start: int, end: int) -> Span | None:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return (start, end) if any(map(str.isalnum, text[start:end])) else None
