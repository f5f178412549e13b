"""Where a completion's words come from: a run of the agent, or a provider's model asked as it is."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from agents.ports import EventLog, Model
from agents.runner import Runner
from agents.writer import valid_text
from backend.routers.ask import RunFailed
from backend.streaming import answer_text
from infrastructure.errors import NotFound
from infrastructure.providers.types import ModelReply, ModelRequest, ToolCall, Usage

_KNOWN_REASONS = ("stop", "length", "tool_calls", "content_filter")


@dataclass(frozen=True, slots=True)
class Ending:
    """What is known when all words are there. `citations` are as in a run's `complete` frame."""

    finish_reason: str
    usage: Usage
    citations: Sequence[dict[str, Any]] = ()
    tool_calls: Sequence[ToolCall] = ()


class Answer(Protocol):
    """An answer under way."""

    @property
    def id(self) -> str:
        """A UUID: the run's, where it is one."""

    def texts(self) -> AsyncGenerator[str, None]:
        """Its words as they come, until it ends, however it does.

        Raises:
            NotFound: the run left the event log.
        """

    async def end(self) -> Ending:
        """How it ended. Waits for that.

        Raises:
            AskGraphError: with an error.
        """

    async def leave(self) -> None:
        """Nobody reads it any more: stop what is under way. Returns when the model's connection is closed."""


class RunAnswer:
    """The agent's: one more reader of a run, and the one who stops it."""

    def __init__(self, runner: Runner, log: EventLog, run_id: str) -> None:
        self._runner = runner
        self._log = log
        self.id = run_id

    def texts(self) -> AsyncGenerator[str, None]:
        return answer_text(self._log, self.id)

    async def end(self) -> Ending:
        frame = orjson.loads((await self._log.terminal(self.id)).data)
        if frame["type"] == "error":
            raise _failed(frame)
        if frame["type"] == "status":  # stopped from elsewhere: what there is, is not all
            return Ending("length", Usage())
        return Ending(run_finish_reason(frame["finish_reason"]), Usage(**frame["usage"]), frame["citations"])

    async def leave(self) -> None:
        with suppress(NotFound):  # it ended, and left the log
            await self._runner.cancel(self.id)


@dataclass(slots=True)
class BareAnswer:
    """A provider's model's. It is asked when the first of it is wanted."""

    id: str
    model: Model
    request: ModelRequest
    _pending: list[str] = field(default_factory=list)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _asking: "asyncio.Task[ModelReply] | None" = None

    async def texts(self) -> AsyncGenerator[str, None]:
        asking = self._begun()
        while not asking.done() or self._pending:
            await self._arrived.wait()
            self._arrived.clear()
            if self._pending:
                text = "".join(self._pending)  # a slow reader finds in one what came while it read: MAX_ANSWER at most
                self._pending.clear()
                yield text

    async def end(self) -> Ending:
        reply = await self._begun()
        reason = reply.finish_reason if reply.finish_reason in _KNOWN_REASONS else "stop"
        return Ending(reason, reply.usage, tool_calls=[_valid_call(call) for call in reply.tool_calls])

    async def leave(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    def _begun(self) -> "asyncio.Task[ModelReply]":
        if self._asking is None:
            self._asking = asyncio.create_task(self.model.stream(self.request, self._put), name=f"completion {self.id}")
            self._asking.add_done_callback(lambda _: self._arrived.set())
        return self._asking

    def _put(self, text: str) -> None:
        self._pending.append(valid_text(text))
        self._arrived.set()


def run_finish_reason(reason: str) -> str:
    """OpenAI's word for how a run ended: a budget that was used up is a length that was reached."""
    return "length" if reason == "length" or reason.startswith("budget_") else "stop"


def _failed(frame: dict[str, Any]) -> RunFailed:
    error = RunFailed(frame)
    error.retryable = frame.get("retryable", False)
    return error


def _valid_call(call: ToolCall) -> ToolCall:
    return ToolCall(valid_text(call.id), valid_text(call.name), valid_text(call.arguments))
