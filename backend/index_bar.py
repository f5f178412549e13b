"""How far indexing is, at a terminal: a bar that moves, and what came of it in one line."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class IndexBar:
    """Shows files done of all, chunks, and chunks a second. Where stdout is no terminal there is no bar."""

    def __init__(self) -> None:
        console = Console()
        self._bar = Progress(
            TextColumn("indexing"), BarColumn(), MofNCompleteColumn(),
            TextColumn("files · {task.fields[chunks]} chunks · {task.fields[rate]}/s"), TimeElapsedColumn(),
            console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("indexing", total=None, chunks=0, rate=0)
        self._began = time.monotonic()
        self._chunks = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, done: int, files: int, chunks: int) -> None:
        self._chunks = chunks
        rate = round(chunks / max(time.monotonic() - self._began, 1e-3))
        self._bar.update(self._task, completed=done, total=files, chunks=chunks, rate=rate)

    def sum_up(self, indexed: int, unchanged: int, failures: Sequence[tuple[str, str]]) -> int:
        """Say what came of it; the exit status."""
        for name, reason in failures:
            typer.echo(f"askgraph: {printable(name)}: {printable(reason)}", err=True)
        seconds = time.monotonic() - self._began
        typer.echo(
            f"{indexed} files can be found, {unchanged} of them unchanged; {len(failures)} failed. "
            f"{self._chunks} chunks in {seconds:.1f} s, {self._chunks / max(seconds, 1e-3):.0f} a second."
        )
        return 1 if failures else 0


def printable(text: str) -> str:
    """`text` without what a terminal would take as a command."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text)
