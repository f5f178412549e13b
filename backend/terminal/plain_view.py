"""An answer for a pipe or a file: the plain text on stdout, and what is not the answer on stderr."""

import sys
from typing import Any, TextIO

from backend.terminal.citations import citation_line
from backend.terminal.fields import Fields
from backend.terminal.printable import one_line, printable


class PlainView:
    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._ends_line = True

    def text(self, piece: str) -> None:
        if not piece:
            return
        self._out.write(printable(piece))
        self._out.flush()
        self._ends_line = piece.endswith("\n")

    def step(self, frame: Fields) -> None:
        """Not shown."""

    def anew(self) -> None:
        self.finish()
        self.aside("the service restarted, and answers anew")

    def aside(self, note: str) -> None:
        self._err.write(f"askgraph: {one_line(note)}\n")

    def finish(self) -> None:
        if not self._ends_line:
            self._out.write("\n")
            self._ends_line = True
        self._out.flush()

    def sources(self, frame: Fields, citations: list[dict[str, Any]]) -> None:
        if citations:
            self._out.write("".join(["\n", *(f"{citation_line(one)}\n" for one in citations)]))
            self._out.flush()

    def problem(self, message: str) -> None:
        self._err.write(f"askgraph: {one_line(message, 1000)}\n")
