"""What a client has of one run, and the contract about it: whatever breaks it fails the test that reads."""

import time
from dataclasses import dataclass, field
from typing import Any

ENDS = ("complete", "error")


class Broken(AssertionError):
    """The service has not kept to the contract."""


@dataclass
class Answer:
    """What came of a question. `text` is what the words say together, as the last frame says it, too.

    `frames` are the run's, from the last `restarted` on; `error` is the code of a run that ended so. `rejoined` counts
    the connections after the first, each for one of `losses`; `refused` how often the client was told to try again.
    `arrivals` are the times of all frames by `time.monotonic()`, also of those that a restart made void.
    """

    question: str
    request_id: str
    session_id: str
    run_id: str | None = None
    text: str = ""
    frames: list[dict[str, Any]] = field(default_factory=list)
    rejoined: int = 0
    restarts: int = 0
    refused: int = 0
    gaps: int = 0
    error: str | None = None
    arrivals: list[float] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)

    @property
    def longest_wait(self) -> float:
        """Seconds between two frames, at most."""
        return max((later - before for before, later in zip(self.arrivals, self.arrivals[1:], strict=False)), default=0)

    def first_after(self, moment: float) -> float | None:
        """Seconds from a moment to the next frame."""
        return next((at - moment for at in self.arrivals if at >= moment), None)


class Progress:
    """Takes the frames of one run, whatever connection they come over, those behind `after`."""

    def __init__(self, answer: Answer, after: int = 0) -> None:
        self.answer = answer
        self.after = after  # what the next frame has to continue
        self._whole = after == 0  # all words are there, or will be
        self.ended = False
        self._words: list[str] = []
        self._gap: dict[str, Any] | None = None

    def take(self, frame: dict[str, Any]) -> None:
        """Raises:
        Broken: it is not the frame that has to come.
        """
        if frame["type"] == "gap":
            self._take_gap(frame)
        elif frame["type"] == "snapshot":
            self._take_snapshot(frame)
        elif "seq" in frame:
            self._take_numbered(frame)

    def _take_gap(self, frame: dict[str, Any]) -> None:
        if frame["from"] != self.after + 1 or frame["to"] < frame["from"] or self._gap:
            raise Broken(f"a gap that does not continue frame {self.after}: {frame}")
        self._gap = frame

    def _take_snapshot(self, frame: dict[str, Any]) -> None:
        if self._gap is None or frame["seq"] != self._gap["to"]:
            raise Broken(f"a snapshot that belongs to no gap: {frame}")
        self.after, self._gap = frame["seq"], None
        self.answer.gaps += 1
        self._words, self._whole = [frame["answer"]], True

    def _take_numbered(self, frame: dict[str, Any]) -> None:
        if self._gap is not None:
            raise Broken(f"a gap without a snapshot: {self._gap}")
        if self.ended:
            raise Broken(f"a frame after the last one: {frame}")
        if self.answer.run_id is None:
            self.answer.run_id = frame["run_id"]
        if frame["run_id"] != self.answer.run_id:
            raise Broken(f"a frame of another run than {self.answer.run_id}: {frame}")
        if frame["seq"] != self.after + 1:
            raise Broken(f"frame {frame['seq']} after frame {self.after} of {self.answer.run_id}: {frame}")
        self.after = frame["seq"]
        self.answer.arrivals.append(time.monotonic())
        self._read(frame)

    def _read(self, frame: dict[str, Any]) -> None:
        answer, kind = self.answer, frame["type"]
        if kind == "status" and frame["status"] == "restarted":
            answer.restarts += 1
            answer.frames.clear()
            self._words.clear()
            self._whole = True
        answer.frames.append(frame)
        if kind == "word":
            self._words.append(frame["content"])
        if kind in ENDS or (kind == "status" and frame["status"] == "cancelled"):
            self._end(frame)

    def _end(self, frame: dict[str, Any]) -> None:
        self.ended = True
        self.answer.text = "".join(self._words)
        if frame["type"] == "complete":
            text = self.answer.text
            if frame["answer"] != text and (self._whole or not frame["answer"].endswith(text)):
                raise Broken(f"the words say {text!r}, the last frame {frame['answer']!r}")
        else:
            self.answer.error = frame.get("code", "cancelled")
