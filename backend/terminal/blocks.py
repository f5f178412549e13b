"""Where a Markdown text that is still being written can be cut: what stands before the cut changes no more."""

from itertools import pairwise

from markdown_it import MarkdownIt

from backend.terminal.printable import printable

PARSER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
"""HTML is not known to it: it shows as the text that it is."""
_FENCES = ("```", "~~~")


class Blocks:
    """Takes text in pieces, and gives each finished block once. A last line that has no end yet finishes nothing."""

    def __init__(self) -> None:
        self.open = ""  # what is not finished

    def add(self, text: str) -> list[str]:
        """The blocks that `text` has finished."""
        self.open += printable(text)
        if "\n" not in text:
            return []
        whole = self.open[: self.open.rfind("\n") + 1]
        starts = _starts(whole)
        if len(starts) < 2:
            return []
        lines = whole.split("\n")
        finished = ["\n".join(lines[first:last]).strip("\n") for first, last in pairwise(starts)]
        self.open = "\n".join(lines[starts[-1] :]) + self.open[len(whole) :]
        return finished

    def rest(self) -> str:
        """What is left, as the last block; nothing is open after that."""
        text, self.open = self.open, ""
        return text.strip("\n")


def tail(block: str, lines: int) -> str:
    """Enough of a block's end to fill `lines` of a screen: of code that is long, the fence and its last lines."""
    parts = block.split("\n")
    if len(parts) <= lines + 1:
        return block
    fence = parts[0].lstrip()
    return "\n".join((parts[:1] if fence.startswith(_FENCES) else []) + parts[-lines:])


def _starts(text: str) -> list[int]:
    """The lines that top-level blocks begin at; the first is 0."""
    tokens = PARSER.parse(text)
    found = sorted({token.map[0] for token in tokens if token.level == 0 and token.map})
    return [0, *found[1:]] if found else []
