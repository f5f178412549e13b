"""One question, from its frames to what is seen of it."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any

from backend.terminal.answer_text import AnswerText
from backend.terminal.fields import Fields, objects_of, text_of
from backend.terminal.question import Question
from backend.terminal.run_reader import PATIENCE_SECONDS, RunReader
from backend.terminal.service import Service
from backend.terminal.view import View

Ask = Callable[[Fields], Awaitable[bool]]
"""Asks a person whether a call that waits may be made."""
_STOP_SECONDS = 10.0  # how long the service may take to say that it has stopped
LEFT = "stopped listening; the service may go on answering"


class Answering:
    """Can be read again with `read` where it ended in an error of the connection: the text goes on where it was."""

    def __init__(
        self, service: Service, question: Question, view: View, ask: Ask, patience: float = PATIENCE_SECONDS
    ) -> None:
        self.question = question
        self.citations: list[dict[str, Any]] = []
        self.ended_well = False
        self._view = view
        self._ask = ask
        self._text = AnswerText()
        self._reader = RunReader(service, question, view.aside, patience)
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._one_at_a_time = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def read(self) -> None:
        """Show the answer to its end. Ctrl-C stops it; a second one leaves at once.

        Raises:
            Refused, SignInNeeded, Unreachable: see `RunReader.frames`.
        """
        self._reading = asyncio.create_task(self._read())
        try:
            with self._interrupts():
                await asyncio.wait([self._reading])
        finally:
            tasks = [self._reading, *self._asking.values(), *([self._stopping] if self._stopping else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._stopping = None
            self._view.finish()
        if self._reading.cancelled():
            return self._view.aside(LEFT)
        self._reading.result()
        return None

    async def _read(self) -> None:
        async with aclosing(self._reader.frames()) as frames:
            async for frame in frames:
                self._take(frame)

    def _take(self, frame: dict[str, Any]) -> None:
        kind = frame.get("type")
        if frame.get("anew") is True or frame.get("status") == "restarted":
            self._begin_again()
        if "seq" not in frame:
            self._view.aside(text_of(frame, "message"))
        elif kind == "step":
            self._step(frame)
        elif kind in ("word", "snapshot", "complete", "error") and (new := self._text.take(frame)):
            self._view.text(new)
        if self.question.ended:
            self._end(frame)

    def _begin_again(self) -> None:
        if self._text.text:
            self._view.anew()
        self._text = AnswerText()

    def _end(self, frame: Fields) -> None:
        self._view.finish()
        if frame.get("type") == "complete":
            self.citations, self.ended_well = objects_of(frame, "citations"), True
            self._view.sources(frame, self.citations)
        elif frame.get("type") == "error":
            self._view.problem(text_of(frame, "message") or "The answer could not be finished.")
        else:
            self._view.aside("stopped")

    def _step(self, frame: Fields) -> None:
        call_id = text_of(frame, "call_id")
        if text_of(frame, "state") != "approval_required":
            if (asking := self._asking.pop(call_id, None)) is not None:
                asking.cancel()  # it was answered elsewhere, or too late
            self._view.step(frame)
        elif call_id not in self._asking:
            self._asking[call_id] = asyncio.create_task(self._approve(call_id, frame))

    async def _approve(self, call_id: str, frame: Fields) -> None:
        async with self._one_at_a_time:
            approved = await self._ask(frame)
        await self._reader.approve(call_id, approved)

    def interrupt(self) -> None:
        """Ctrl-C: ask the service to stop, and leave where that was done before."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        elif self._reading is not None:
            self._reading.cancel()

    @contextlib.contextmanager
    def _interrupts(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self.interrupt)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    async def _stop(self) -> None:
        if await self._reader.cancel():
            await asyncio.sleep(_STOP_SECONDS)
        if self._reading is not None:
            self._reading.cancel()
