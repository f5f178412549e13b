"""Where a completion's words come from. A run of the agent is one way; `openai_bare` has the other."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from agents.ports import EventLog
from agents.runner import Runner
from backend.answer_text import answer_text
from backend.openai_stops import StopCut
from backend.routers.ask import RunFailed
from infrastructure.errors import NotFound
from infrastructure.providers.types import ToolCall, Usage


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
    """The agent's: one more reader of a run, and the one who stops it.

    At one of `stops` the words end. The run goes on to its own end, for its citations and what it used: a model that
    was told of them has ended there too.
    """

    def __init__(self, runner: Runner, log: EventLog, run_id: str, stops: Sequence[str] = ()) -> None:
        self._runner = runner
        self._log = log
        self._cut = StopCut(stops) if stops else None
        self._said: list[str] = []  # of an answer that may be cut
        self.id = run_id

    def texts(self) -> AsyncGenerator[str, None]:
        words = answer_text(self._log, self.id)
        return words if self._cut is None else self._until_stop(words, self._cut)

    async def end(self) -> Ending:
        frame = orjson.loads((await self._log.terminal(self.id)).data)
        if self._cut is not None and self._cut.hit:
            return self._cut_short(frame)
        if frame["type"] == "error":
            raise _failed(frame)
        if frame["type"] == "status":  # stopped from elsewhere: what there is, is not all
            return Ending("length", Usage())
        return Ending(run_finish_reason(frame["finish_reason"]), Usage(**frame["usage"]), frame["citations"])

    async def leave(self) -> None:
        with suppress(NotFound):  # it ended, and left the log
            await self._runner.cancel(self.id)

    async def _until_stop(self, words: AsyncGenerator[str, None], cut: StopCut) -> AsyncGenerator[str, None]:
        async with aclosing(words):
            async for text in words:
                if said := cut.put(text):
                    self._said.append(said)
                    yield said
                if cut.hit:
                    return
        if held := cut.end():
            yield held

    def _cut_short(self, frame: dict[str, Any]) -> Ending:
        """It ended at a stop sequence, and its run as `frame` says: only what is cited before it counts."""
        said = "".join(self._said)
        cited = [citation for citation in frame.get("citations", ()) if f"[{citation['id']}]" in said]
        return Ending("stop", Usage(**frame.get("usage", {})), cited)


def run_finish_reason(reason: str) -> str:
    """OpenAI's word for how a run ended: a budget that was used up is a length that was reached."""
    return "length" if reason == "length" or reason.startswith("budget_") else "stop"


def _failed(frame: dict[str, Any]) -> RunFailed:
    error = RunFailed(frame)
    error.retryable = frame.get("retryable", False)
    return error
