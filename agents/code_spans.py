"""Whether a place in a line of Markdown stands between backticks: only where every reader of CommonMark sees it so."""

import re

from agents.link_syntax import MORE, More

_MARK = re.compile(r"\\.|`+|<(?=[A-Za-z/!?])", re.DOTALL)
_END = re.compile(r"`+|[\n\r|]")
_ADDRESS = re.compile(r"(?:://|www\.|@)\S*\Z")  # some readers take all up to the next space for an address
_BLANK_LINE = re.compile(r"\n[ \t]*\n")


def paragraph(text: str) -> str:
    """The end of `text`, from its last blank line on, with `\\n` for every end of a line."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    end = 0
    for blank in _BLANK_LINE.finditer(lines):
        end = blank.end()
    return lines[end:]


def span_end(before: str, after: str) -> int | More | None:
    """Where in `after` the code ends in the midst of which it begins; None where that is not certainly code.

    `before` is the paragraph up to there. Code that goes over lines, or over a table's cells, is not taken for it.
    """
    ticks = _open_ticks(before)
    if not ticks:
        return None
    for found in _END.finditer(after):
        if found[0][0] != "`":
            return None
        if found.end() == len(after):
            return MORE  # there may be more backticks to come
        if len(found[0]) == ticks:
            return found.end()
    return MORE


def _open_ticks(text: str) -> int:
    """How many backticks began the code that is open at the end of the paragraph; 0: none, or it is in doubt."""
    at = 0
    while mark := _MARK.search(text, at):
        at = mark.end()
        if mark[0][0] == "\\":
            continue
        if mark[0] == "<" or _ADDRESS.search(text, max(0, mark.start() - 300), mark.start()):
            return 0
        line_end = text.find("\n", at)
        line = text[at:] if line_end < 0 else text[at:line_end]
        closing = next((run for run in re.finditer("`+", line) if len(run[0]) == len(mark[0])), None)
        if closing is None:
            begin = text.rfind("\n", 0, mark.start()) + 1
            return len(mark[0]) if line_end < 0 and "|" not in text[begin:] else 0
        at += closing.end()
    return 0
