"""Markdown: the text stays as it was written; the structure comes from its block tokens."""

import re
from collections.abc import Iterator
from itertools import zip_longest

from markdown_it import MarkdownIt
from markdown_it.token import Token

from services.knowledge.extracted import LONGEST_HEADING, Block, fill_gaps
from services.knowledge.readers.plain import LEAST_OF_MANY, MANY_LINES, paragraphs

_FRONT_MATTER = re.compile(r"---[ \t]*\n(?:.*\n){0,200}?(?:---|\.\.\.)[ \t]*(?:\n|$)")
_FRONT_TITLE = re.compile(r"^title:[ \t]*(.+)$", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")
_MARKS = re.compile(r"[*`~]+|\b__?|__?\b|\\(?=[^\w\s])")
_HEADING_OR_FENCE = re.compile(
    r"^ {0,3}(?:(?P<marks>#{1,6})[ \t]+(?P<words>[^\n]*)|(?P<fence>`{3,}|~{3,})[^\n]*)\n?", re.MULTILINE
)
_LINES = {"list_item_open", "table_open", "fence", "code_block", "html_block"}


def markdown_blocks(text: str) -> tuple[tuple[Block, ...], str | None]:
    """The blocks of a Markdown text, and its title: that of its front matter, else its first heading of level 1."""
    front = _FRONT_MATTER.match(text)
    begin = front.end() if front else 0
    if text.count("\n") > MANY_LINES:
        blocks = fill_gaps(text, _roughly(text, begin))
    else:
        starts = [begin, *(match.end() for match in re.finditer("\n", text) if match.end() > begin), len(text)]
        blocks = fill_gaps(text, _blocks(text, begin, starts))
    named = _FRONT_TITLE.search(front.group()) if front else None
    if named:
        return blocks, named.group(1).strip().strip("\"'")
    return blocks, next((block.heading for block in blocks if block.level == 1), None)


def _blocks(text: str, begin: int, starts: list[int]) -> Iterator[Block]:
    tokens = _parser().parse(text[begin:])
    for token, following in zip_longest(tokens, tokens[1:]):
        if token.map is None or not _begins_block(token):
            continue
        start, end = starts[token.map[0]], starts[min(token.map[1], len(starts) - 1)]
        if token.type == "heading_open":
            words = _plain(following.content if following else "")
            yield Block("heading", start, end, int(token.tag[1]), words)
        else:
            yield Block("lines" if token.type in _LINES else "prose", start, end)


def _roughly(text: str, begin: int) -> Iterator[Block]:
    """The headings outside of code fences, and paragraphs of whatever is between them."""
    fence = ""
    at = begin
    for match in _HEADING_OR_FENCE.finditer(text, begin):
        marks = match["fence"]
        if marks and not fence:
            fence = marks
        elif marks:
            fence = "" if marks.startswith(fence) else fence
        elif not fence:
            yield from paragraphs(text, at, match.start(), least=LEAST_OF_MANY)
            yield Block("heading", match.start(), match.end(), len(match["marks"]), _plain(match["words"]))
            at = match.end()
    yield from paragraphs(text, at, len(text), least=LEAST_OF_MANY)


def _begins_block(token: Token) -> bool:
    if token.level == 1:
        return token.type == "list_item_open"
    opens = token.nesting == 1 or (token.nesting == 0 and token.type != "inline")
    return token.level == 0 and opens and token.type not in {"bullet_list_open", "ordered_list_open"}


def _parser() -> MarkdownIt:
    """A parser of blocks only: what is within a line (emphasis, links) is text to us, and most of the cost."""
    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


def _plain(heading: str) -> str:
    """The words of a heading without their marks: `` **The** [`x`](y) `` is `The x`."""
    return " ".join(_MARKS.sub("", _LINK.sub(r"\1", heading[: 2 * LONGEST_HEADING])).split())[:LONGEST_HEADING]
