"""Markdown at a terminal: rich's, with headings to the left, HTML as text, and links whose target is to be seen."""

from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Heading, Markdown, MarkdownElement
from rich.segment import Segment

from backend.terminal.blocks import PARSER, tail
from backend.terminal.printable import printable

Lines = list[list[Segment]]


class _LeftHeading(Heading):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.text


class _Elements(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {**Markdown.elements, "heading_open": _LeftHeading}

    def __init__(self, text: str) -> None:
        super().__init__("", code_theme="ansi_dark", hyperlinks=False)
        self.parsed = PARSER.parse(printable(text))


class AnswerMarkdown:
    """Without blank lines at either end: what stands between two blocks is for who prints them."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from _joined(_lines(self._text, console, options))


class OpenBlock:
    """The end of a block that is still being written, in no more lines than a screen has room for."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = max(console.height - 3, 3)
        yield from _joined(_lines(tail(self._text, room), console, options)[-room:])


def _lines(text: str, console: Console, options: ConsoleOptions) -> Lines:
    lines = console.render_lines(_Elements(text), options.update(height=None), pad=False)
    lines = [_without_padding(line) for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    first = next((place for place, line in enumerate(lines) if line), 0)
    return lines[first:]


def _without_padding(line: list[Segment]) -> list[Segment]:
    """Without the white space at its end, which would be copied with the text; nothing is left of a blank line."""
    line = list(line)
    while line:
        text, style, control = line.pop()
        if kept := text.rstrip():
            return [*line, Segment(kept, style, control)]
    return line


def _joined(lines: Lines) -> RenderResult:
    for line in lines:
        yield from line
        yield Segment.line()
