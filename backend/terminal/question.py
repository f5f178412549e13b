"""A question on its way: what is known of its run, so that it can be read over as many connections as it takes."""

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from backend.terminal.fields import Fields, text_of, whole_of


@dataclass(slots=True)
class Question:
    """`request_id` makes a resend safe: the service joins the run that it has begun."""

    text: str
    session_id: str
    model: str | None = None
    request_id: str = field(default_factory=lambda: uuid4().hex)
    run_id: str = ""
    seq: int = 0  # of the last frame that was taken
    ended: bool = False
    begins_again: bool = False  # over a new socket, at once
    forgotten: bool = False  # the run is not known there any more
    only_end: bool = False  # the service kept no more of the run than its text and its end

    def opening(self) -> dict[str, Any]:
        """What to send on a new connection."""
        self.begins_again = False
        if self.run_id and not self.forgotten:
            return {"type": "attach", "run_id": self.run_id, "after": self.seq}
        frame = {
            "type": "question", "question": self.text, "session_id": self.session_id, "request_id": self.request_id,
        }  # fmt: skip
        return frame | ({"model_name": self.model} if self.model else {})

    def is_forgotten(self) -> bool:
        """The service knows no such run: ask anew. False where that was of no use."""
        if self.forgotten:
            return False
        self.begins_again = self.forgotten = True
        return True

    def misses_end(self) -> bool:
        """The service has nothing behind the last frame, and that was not the end: after a restart it counts anew.
        False where that was of no use.
        """
        if self.only_end:
            return False
        self.begins_again, self.only_end, self.seq = True, True, 0
        return True

    def take(self, frame: Fields) -> bool:
        """Whether a frame of a run is one that was not there yet. Another run begins from its first."""
        run_id, seq = text_of(frame, "run_id"), whole_of(frame, "seq")
        if self.run_id and run_id != self.run_id and not self.forgotten:
            return False
        if run_id != self.run_id:
            self.run_id, self.seq = run_id, 0
        self.forgotten = False
        if self.only_end and frame.get("type") == "word":
            return False
        if seq <= self.seq:
            return False
        self.seq = seq
        self.ended = frame.get("type") in ("complete", "error") or frame.get("status") == "cancelled"
        return True
