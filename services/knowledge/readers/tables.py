"""Tables as Markdown: a row is one line, which search and citations take as one sentence."""

from collections.abc import Iterable, Sequence


def row(cells: Iterable[str]) -> str:
    """`| a | b |`: white space within a cell is one space, and a bar in it is escaped."""
    return "| " + " | ".join(cell(text) for text in cells) + " |"


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def table(rows: Sequence[Sequence[str]]) -> str:
    """A whole table; its first row is the header. Empty when no cell holds anything."""
    filled = [cells for cells in rows if any(text.strip() for text in cells)]
    if not filled:
        return ""
    head, *body = filled
    return "\n".join([row(head), rule(len(head)), *(row(cells) for cells in body)])


def rule(width: int) -> str:
    """The line between a table's header and its rows."""
    return "|" + " --- |" * width
