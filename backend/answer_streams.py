"""A run's answer in the streams that older clients read: bare text, or events of their own."""

import time
from collections.abc import Callable
from contextlib import aclosing
from math import inf
from typing import Any

import orjson

from agents.ports import EventLog
from agents.runner import RunHandle
from backend.answer_text import answer_text
from backend.routers.ask import RunFailed
from backend.run_end import answer_facts, run_end
from backend.streaming import Stream


class TextStream(Stream):
    """The text of an answer as it is written.

    The head waits for the first of it: a run that fails before is answered with its error's status. One that fails
    later ends the connection without the body's end, so that nobody takes what there is for the whole.
    """

    content_type = "text/plain; charset=utf-8"

    def __init__(self, log: EventLog, run: RunHandle, *, send_timeout: float, on_slow: Callable[[], None]) -> None:
        super().__init__(silence=inf, send_timeout=send_timeout, on_slow=on_slow, headers=run_headers(run))
        self._log = log
        self._run_id = run.id

    async def write(self) -> None:
        async with aclosing(answer_text(self._log, self._run_id)) as texts:
            async for text in texts:
                await self.put(text.encode())
        await run_end(self._log, self._run_id)


class ConversationStream(Stream):
    """An answer as `data:` frames of type `start`, `chunk`, and `done` or `error`."""

    def __init__(
        self, log: EventLog, run: RunHandle, *, silence: float, send_timeout: float, on_slow: Callable[[], None]
    ) -> None:
        super().__init__(silence=silence, send_timeout=send_timeout, on_slow=on_slow, headers=run_headers(run))
        self._log = log
        self._run_id = run.id
        self._names = {"conversation_id": run.session_id, "message_id": run.answer_id}

    async def write(self) -> None:
        began = time.monotonic()
        await self._frame("start", **self._names)
        async with aclosing(answer_text(self._log, self._run_id)) as texts:
            async for text in texts:
                await self._frame("chunk", content=text)
        try:
            end = await run_end(self._log, self._run_id)
        except RunFailed as error:
            return await self._frame("error", error=error.message)
        facts = answer_facts(end, time.monotonic() - began).model_dump()
        return await self._frame("done", **self._names, metadata=facts | {"finish_reason": end.finish_reason})

    async def _frame(self, kind: str, **fields: Any) -> None:
        await self.put(b"data: %b\n\n" % orjson.dumps({"type": kind, **fields}))


def run_headers(run: RunHandle) -> dict[str, str]:
    """Where the same run is found over other routes."""
    return {"X-Run-ID": run.id} | ({"X-Session-ID": run.session_id} if run.session_id else {})
