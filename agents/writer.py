"""The one hand that writes a run's frames: numbers them, encodes them, appends them to the event log."""

import asyncio
from typing import Protocol

from agents.events import RunFrame, Status, WordEncoder, encode, is_terminal
from agents.ports import Clock, EventLog
from agents.words import WordGrouper
from infrastructure.event_log.entry import Entry


class TokenTimes(Protocol):
    """Who wants to know when words leave."""

    def first_token(self, seconds: float) -> None:
        """Seconds from the start of the run to its first word."""

    def next_token(self, seconds: float) -> None:
        """Seconds between two `word` frames of a run."""


class RunWriter:
    """Writes the frames of one run. `put` is the `emit` that a model's adapter gets.

    `text` is the answer so far, exactly what the `word` frames say. Frames continue behind what the log already has.
    """

    __slots__ = ("_clock", "_encoder", "_grouper", "_last_word_at", "_log", "_loop", "_open", "_parts", "_seq",
                 "_started", "_times", "_words", "ended", "first_token", "run_id")  # fmt: skip

    def __init__(self, run_id: str, log: EventLog, clock: Clock, times: TokenTimes) -> None:
        self.run_id = run_id
        self.ended = False
        self.first_token: float | None = None  # seconds from the start to the first word
        self._log = log
        self._clock = clock
        self._times = times
        self._loop = asyncio.get_running_loop()
        self._grouper = WordGrouper(self._word, self._loop)
        self._encoder = WordEncoder(run_id, 0.0)
        self._seq = log.last_seq(run_id)
        self._parts: list[str] = []
        self._words = 0
        self._open = False  # the last piece ended inside a word
        self._started = self._loop.time()
        self._last_word_at: float | None = None

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def said(self) -> str:
        """The same with the unfinished word that is still held."""
        return f"{self.text}{self._grouper.held}"

    @property
    def seq(self) -> int:
        """The number of the newest frame."""
        return self._seq

    @property
    def words(self) -> int:
        return self._words

    @property
    def has_text(self) -> bool:
        """Whether the model has said anything, be it an unfinished word that is still held."""
        return bool(self._parts) or self._grouper.holds

    def resume(self, text: str) -> None:
        """Go on behind `text`, which another process has said; the log has been opened behind its frames."""
        self._parts = [text] if text else []
        self._words = len(text.split())
        self._open = bool(text) and not text[-1].isspace()

    def start(self) -> None:
        """Time counts from here: the run has left the line."""
        self._started = self._loop.time()

    def confidence(self, value: float) -> None:
        """What the following `word` frames say about confidence."""
        self._encoder = WordEncoder(self.run_id, value)

    def put(self, text: str) -> None:
        """Take a piece of the answer, as it came."""
        if not self.ended:
            self._grouper.put(text if text.isascii() and "\0" not in text else valid_text(text))

    def flush(self) -> None:
        """Pass on an unfinished word now: what follows is no text."""
        if not self.ended:
            self._grouper.flush()

    def frame(self, frame: RunFrame) -> None:
        """Append a frame that is not a word. What text is held goes first; behind a terminal frame nothing goes."""
        if self.ended:
            return
        self._grouper.flush()
        terminal = is_terminal(frame)
        data = encode(frame, self.run_id, self._seq + 1, self._clock())
        self._append(data, terminal=terminal, restart=isinstance(frame, Status) and frame.status == "restarted")
        self.ended = terminal
        if terminal:
            self._grouper.close()

    def _word(self, content: str) -> None:
        now = self._loop.time()
        if self._last_word_at is None:
            self.first_token = now - self._started
            self._times.first_token(self.first_token)
        else:
            self._times.next_token(now - self._last_word_at)
        self._last_word_at = now
        goes_on = self._open and not content[0].isspace()  # the rest of a word that did not wait for its end
        seq = self._seq + 1
        data = self._encoder.encode(content, self._words - goes_on, seq, self._clock())
        self._parts.append(content)
        self._words += len(content.split()) - goes_on
        self._open = not content[-1].isspace()
        self._log.append(self.run_id, Entry(seq, data, content))
        self._seq = seq  # as in `_append`

    def _append(self, data: bytes, terminal: bool, restart: bool) -> None:
        """Numbers are given here, behind all that can fail: a hole would bar the way for every later frame."""
        self._log.append(self.run_id, Entry(self._seq + 1, data, "", terminal, restart))
        self._seq += 1


def valid_text(text: str) -> str:
    """`text`, with a mark in place of each lone surrogate, which JSON over UTF-8 cannot say, and of each NUL, which
    PostgreSQL cannot keep.
    """
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
