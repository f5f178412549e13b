"""Runs for the tests of those who read them: frames are written by hand."""

import orjson

from infrastructure.event_log.entry import Entry
from infrastructure.event_log.memory import MemoryEventLog


class WrittenRun:
    """A run whose frames a test appends."""

    def __init__(self, log: MemoryEventLog, run_id: str = "run-1") -> None:
        self.id = run_id
        self._log = log
        self._seq = 0
        log.open(run_id, None)
        self._append({"type": "status", "status": "streaming"})

    def say(self, *texts: str) -> None:
        for text in texts:
            self._append({"type": "word", "content": text}, text)

    def complete(self) -> None:
        self._append(
            {
                "type": "complete", "answer": self._log.answer(self.id), "model": "scripted", "finish_reason": "stop",
                "usage": {"prompt_tokens": 3, "completion_tokens": 4}, "citations": [],
            },
            terminal=True,
        )  # fmt: skip

    def fail(self, message: str = "The model broke off.", code: str = "provider_protocol_error") -> None:
        self._append({"type": "error", "error": message, "message": message, "code": code}, terminal=True)

    def cancel(self) -> None:
        self._append({"type": "status", "status": "cancelled"}, terminal=True)

    def _append(self, frame: dict[str, object], text: str = "", *, terminal: bool = False) -> None:
        self._seq += 1
        self._log.append(self.id, Entry(self._seq, orjson.dumps(frame), text, terminal))
