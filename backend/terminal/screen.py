"""A person's terminal: everything that is said there goes through here, and nothing of it is a command to it."""

from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.text import Text

from backend.terminal.citations import Passage
from backend.terminal.printable import one_line, printable


class Screen:
    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, markup=False, emoji=False)

    def say(self, text: str) -> None:
        self._print(Text(printable(text)))

    def aside(self, text: str) -> None:
        """Dimly, in one line."""
        self._print(Text(one_line(text, 1000), style="dim"))

    def problem(self, message: str) -> None:
        self._print(Text(one_line(message, 1000), style="red"))

    def rows(self, rows: Iterable[tuple[str, str]]) -> None:
        """What it is, and dimly what there is to say of it, a line each; the second in a column of its own."""
        rows = [(one_line(name, 80), one_line(about)) for name, about in rows]
        wide = max((Text(name).cell_len for name, _ in rows), default=0)
        for name, about in rows:
            line = Text(f"  {name}")
            if about:
                line.append(" " * (wide - Text(name).cell_len + 2) + about, style="dim")
            self.console.print(line, no_wrap=True, overflow="ellipsis")

    def passage(self, title: str, passage: Passage) -> None:
        """The quote stands out, by bold and reversed letters, and by brackets for who sees neither."""
        self._print(Text(one_line(title), style="bold"))
        text = Text(printable(passage.before))
        text.append("⟦", style="dim").append(printable(passage.quote), style="bold reverse").append("⟧", style="dim")
        self._print(text.append(printable(passage.after)))

    def show(self, thing: RenderableType) -> None:
        """Something that has been made printable before."""
        self._print(thing)

    def _print(self, thing: RenderableType) -> None:
        self.console.print(thing)
