"""An answer's text as it is written, for readers to whom it cannot be unsaid."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from agents.ports import EventLog
from infrastructure.errors import Interrupted
from infrastructure.event_log.entry import Batch
from infrastructure.websocket_manager import PORTION_BYTES

ANEW = "The answer was begun anew, and is another one. Ask again."


async def answer_text(log: EventLog, run_id: str, after: int = 0, had: int = 0) -> AsyncGenerator[str, None]:
    """What a run says behind its frame `after`, until its end, for a reader that has `had` characters of the answer.

    What is no longer held frame by frame comes all the same, in one. Where the answer is begun anew by another process,
    what follows is what the new one has beyond what was given.

    Raises:
        NotFound: no such run, or it left.
        Interrupted: it was begun anew and does not say again what was given.
    """
    given = _Given(had)
    async with aclosing(log.read(run_id, after)) as batches:
        async for batch in batches:
            text = given.more(batch)
            for start in range(0, len(text), PORTION_BYTES):
                yield text[start : start + PORTION_BYTES]


class _Given:
    """What a reader has of an answer: `had` characters that are not known here, and what was given since."""

    def __init__(self, had: int) -> None:
        self._had = had
        self._parts: list[str] = []
        self._again: str | None = None  # what the answer says since it was begun anew, until it is level

    def more(self, batch: Batch) -> str:
        """What a batch adds.

        Raises:
            Interrupted
        """
        entries = batch.entries
        restart = max((number for number, entry in enumerate(entries) if entry.restart), default=None)
        text = "".join(entry.text for entry in (entries if restart is None else entries[restart + 1 :]))
        if restart is not None:
            if self._had:
                raise Interrupted(ANEW)  # nobody here knows whether it says the same again
            self._again = ""
        elif batch.gap is not None:
            self._again, text = "", batch.gap.answer + text
        if self._again is not None:
            text = self._beyond(text)
        if text:
            self._parts.append(text)
        return text

    def _beyond(self, text: str) -> str:
        given = "".join(self._parts)
        self._again = again = f"{self._again}{text}"
        beyond = again[self._had :]
        if len(again) >= self._had and beyond.startswith(given):
            self._again = None
            return beyond[len(given) :]
        if not given.startswith(beyond):
            raise Interrupted(ANEW)
        return ""
