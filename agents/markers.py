"""Citation markers on their way to the reader: those that name no source never get there."""

import re
from collections.abc import Callable

from agents.links import LinkFilter

_MARKER = re.compile(r"\[\s*\d{1,3}(?:\s*[,;]\s*\d{1,3})*\s*\]")
_BEGINNING = re.compile(r"\[[\d\s,;]*\Z")  # what may still become one
_NUMBER = re.compile(r"\d+")
LONGEST = 24
"""Characters that a marker may have; more are text."""
Emit = Callable[[str], None]


class MarkerFilter:
    """Takes a model's text as it comes and passes on all of it but markers `[n]` beyond the last source.

    Of `[2, 9]` with five sources `[2]` is left. What stands in code (between backticks) is passed on as it is. Text is
    held back only from a bracket on that may begin a marker, and no more of it than `LONGEST` characters.

    What may be a part of a link goes through `links`, all else past it: text without a bracket costs three searches.
    """

    __slots__ = ("_emit", "_held", "_in_code", "_links", "_sources", "dropped")

    def __init__(self, emit: Emit, sources: int, links: LinkFilter) -> None:
        """`links` gives what it lets through to the same `emit`."""
        self._emit = emit
        self._links = links
        self._sources = sources
        self._held = ""
        self._in_code = False
        self.dropped = 0

    def put(self, text: str) -> None:
        """Take a piece of the text."""
        if self._held or "[" in text or "]" in text or "<" in text or self._links.waits:
            self._look(text)
        else:
            if "`" in text:
                self._code(text)
            if text:
                self._emit(text)

    def end(self) -> None:
        """There is no more: what is held was no marker."""
        held, self._held = self._held, ""
        if held:
            self._links.put(held)
        self._links.end()

    def _look(self, text: str) -> None:
        text, self._held = self._held + text, ""
        if "[" not in text:
            if "`" in text:
                self._code(text)
            if text:
                self._links.put(text)
            return
        found = _BEGINNING.search(text)
        if found and len(text) - found.start() <= LONGEST and not self._code_at(text, found.start()):
            text, self._held = text[: found.start()], text[found.start() :]
        if text:
            self._emit_checked(text)

    def _emit_checked(self, text: str) -> None:
        out: list[str] = []
        at = 0
        for marker in _MARKER.finditer(text):
            before = text[at : marker.start()]
            if "`" in before:
                self._code(before)
            at = marker.end()
            out.append(before)
            if self._in_code:
                out.append(marker[0])
            elif kept := self._kept(marker[0]):
                out.append(kept)
            else:
                out[-1] = before.removesuffix(" ")  # with the space that led up to it
        rest = text[at:]
        if "`" in rest:
            self._code(rest)
        out.append(rest)
        if whole := "".join(out):
            self._links.put(whole)

    def _kept(self, marker: str) -> str:
        numbers = _NUMBER.findall(marker)
        good = [number for number in numbers if 1 <= int(number) <= self._sources]
        self.dropped += len(numbers) - len(good)
        if len(good) == len(numbers):
            return marker
        return f"[{', '.join(good)}]" if good else ""

    def _code(self, text: str) -> None:
        """Each run of backticks begins code or ends it."""
        if len(re.findall(r"`+", text)) % 2:
            self._in_code = not self._in_code

    def _code_at(self, text: str, end: int) -> bool:
        return self._in_code != bool(len(re.findall(r"`+", text[:end])) % 2)
