"""Grouping a model's text into whole words, without holding any back for more than a moment."""

import asyncio
from collections.abc import Callable

PATIENCE_SECONDS = 0.040
PATIENCE_CHARS = 64


class WordGrouper:
    """Passes on what ends in white space at once; an unfinished word waits `PATIENCE_SECONDS` or `PATIENCE_CHARS`.

    `put` is what a model adapter calls with the text of one read: its finished words leave together, in one piece.
    The pieces joined are the text, exactly.
    """

    __slots__ = ("_loop", "_send", "_tail", "_timer")

    def __init__(self, send: Callable[[str], None], loop: asyncio.AbstractEventLoop) -> None:
        self._send = send
        self._loop = loop
        self._tail = ""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def holds(self) -> bool:
        """Whether an unfinished word waits here."""
        return bool(self._tail)

    @property
    def held(self) -> str:
        """That word."""
        return self._tail

    def put(self, text: str) -> None:
        if not text:
            return
        text = self._tail + text
        if text[-1].isspace():
            if self._timer is not None:
                return self._pass_on(text)
            return self._send(text)  # the usual case: whole words, and nothing was held
        cut = len(text) - len(_last_word(text))
        if len(text) - cut >= PATIENCE_CHARS:
            return self._pass_on(text)
        if cut:
            self._pass_on(text[:cut])
        self._tail = text[cut:]
        if self._timer is None:
            self._timer = self._loop.call_later(PATIENCE_SECONDS, self.flush)

    def close(self) -> None:
        """Let go of whoever takes the text, as nothing follows: who owns this and is called by it can leave memory at
        once, and not with a collection of the old, which comes once in hours."""
        self._send = _nowhere

    def flush(self) -> None:
        """Pass on what is held, finished or not."""
        if self._tail:
            self._pass_on(self._tail)

    def _pass_on(self, text: str) -> None:
        self._tail = ""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._send(text)


def _last_word(text: str) -> str:
    return text.rsplit(None, 1)[-1]


def _nowhere(text: str) -> None:
    """Where text goes behind the end."""
