"""Answers without a model: the passages' own best sentences, each with the number of its source."""

import re
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from infrastructure.passages import Passage
from infrastructure.providers.types import Emit, ModelReply, ModelRequest

NO_ANSWER: Final = "I don't know: nothing in the knowledge answers this."

_SPACE = re.compile(r"\s+")
_BLOCK_MARK = re.compile(r"(?:#{1,6}|[-*+]|\d{1,2}[.)]|>)\s+")  # heading, list item, quotation
_EMPHASIS = re.compile(r"(\*\*|__|\*|_)(?=\S)(.+?)(?<=\S)\1(?!\w)")
_LEFT_OPEN = re.compile(r"(?:\*\*|__|\*|_)(?=\w)")
_MARKER = re.compile(r"\[(\d+)\]")


class Extract(Protocol):
    """A sentence out of a passage."""

    @property
    def source(self) -> int:
        """1-based number of the passage."""

    @property
    def start(self) -> int:
        """Where it begins in the document's text (code points)."""

    @property
    def text(self) -> str:
        """The sentence as it stands there."""


Select = Callable[[str, Sequence[Passage]], Sequence[Extract]]
"""The sentences of the passages that answer a question; none where nothing does."""


class ExtractiveProvider:
    """Fits the port of a model. Needs no key, no network and no time to speak of, and cannot make anything up."""

    name = "extractive"
    model = "extractive"

    def __init__(self, select: Select) -> None:
        self._select = select

    async def stream(self, request: ModelRequest, emit: Emit) -> ModelReply:
        extracts = self._select(request.question, request.passages)
        pieces: list[str] = []
        for extract in sorted(extracts, key=lambda found: (found.source, found.start)):
            if sentence := plain_sentence(extract.text):
                pieces.append(f"{' ' if pieces else ''}{sentence} [{extract.source}]")
                emit(pieces[-1])
        if not pieces:
            pieces.append(NO_ANSWER)
            emit(NO_ANSWER)
        return ModelReply("".join(pieces), self.model)

    async def aclose(self) -> None:
        """There is nothing to give back."""


def plain_sentence(text: str) -> str:
    """One line without the Markdown marks at its start.

    A number in brackets would read as a marker of ours, so it gets spaces: `[3]` becomes `[ 3 ]`.
    """
    line = _SPACE.sub(" ", text).strip()
    while mark := _BLOCK_MARK.match(line):
        line = line[mark.end() :]
    if emphasis := _EMPHASIS.match(line):
        line = emphasis[2] + line[emphasis.end() :]
    else:
        line = _LEFT_OPEN.sub("", line, count=1) if _LEFT_OPEN.match(line) else line
    return _MARKER.sub(r"[ \1 ]", line)
