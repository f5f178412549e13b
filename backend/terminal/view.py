"""How an answer is shown: what both kinds of output, a terminal and a pipe, have to do."""

from typing import Any, Protocol

from backend.terminal.fields import Fields


class View(Protocol):
    def text(self, piece: str) -> None:
        """More of the answer."""

    def step(self, frame: Fields) -> None:
        """A piece of work began, ended or failed."""

    def anew(self) -> None:
        """The answer begins again: what was shown of it does not count."""

    def aside(self, note: str) -> None:
        """Something about the connection, in one line."""

    def finish(self) -> None:
        """All of the answer's text is there, or all that there will be of it."""

    def sources(self, frame: Fields, citations: list[dict[str, Any]]) -> None:
        """What the answer rests on."""

    def problem(self, message: str) -> None:
        """What went wrong, in one line."""
