"""Summaries of what a long conversation's history leaves out, by the model, made beside everything else.

They are kept in memory, for as many sessions as were used last: what is lost is made again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from agents.policies import left_out, summed_up
from agents.ports import Model
from agents.prompts import render
from infrastructure.errors import AskGraphError, ProviderError
from infrastructure.providers.types import Message, ModelRequest, Usage
from services.sessions import Turn

log = structlog.get_logger()
SECONDS = 30.0
AT_ONCE = 2  # calls of the model for summaries: answers go first
MOST_WAITING = 100  # sessions; the summaries of more wait for their next answer
MOST_KEPT = 2000  # sessions
MOST_TURNS = 20  # that are shown for one summary: the newest of those that are to go into it
SHOWN_CHARS = 1000  # of each question and each answer
MAX_CHARS = 2000  # of a summary
MAX_TOKENS = 300


AHEAD = 0.5  # of the share: with none, a long conversation would cost a second call of the model with each answer


@dataclass(frozen=True, slots=True)
class _Summary:
    """`covered`: marks of the turns that it stands for, oldest first."""

    text: str
    covered: tuple[int, ...]


class Summaries:
    """Sums up what `max_tokens` of history leave out; what fails leaves the former summary, or none.

    `on_call` is told of each call of the model as for titles, `on_usage` who asked, the model and what it used.
    """

    def __init__(
        self, model: Model, max_tokens: int, on_call: Callable[[str, str], None],
        on_usage: Callable[[str, str, Usage], None] = lambda caller, model, usage: None, *, ahead: float = AHEAD,
    ) -> None:  # fmt: skip
        self._model = model
        self._max_tokens = max_tokens
        self._left_after = int(max_tokens * (1 - ahead))
        self._on_call = on_call
        self._on_usage = on_usage
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._kept: OrderedDict[str, _Summary] = OrderedDict()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def of(self, session_id: str | None, turns: Sequence[Turn]) -> str:
        """What sums up the oldest of these turns, as far as there is something; else nothing."""
        kept = self._kept.get(session_id) if session_id is not None else None
        if kept is None or session_id is None or not summed_up(kept.covered, _marks(turns)):
            return ""
        self._kept.move_to_end(session_id)
        return kept.text

    def consider(self, session_id: str, turns: Sequence[Turn], caller: str = "") -> None:
        """After an answer: have what the history leaves out summed up, if it is not yet and there is a model for it.

        More is summed up than has to be, the `ahead` part of the history's share too: the next summary is due when that
        much has been said again, and not after each answer.
        """
        if self._model.name == "extractive" or not self._max_tokens:
            return
        if session_id in self._tasks or len(self._tasks) >= MOST_WAITING:
            return
        out = left_out(turns, self._max_tokens)
        if not out:
            return
        marks = _marks(turns)
        kept = self._kept.get(session_id)
        done = summed_up(kept.covered, marks) if kept else 0
        if done >= out:
            return
        former = kept if kept and done else _Summary("", ())
        out = left_out(turns, self._left_after)
        covered = (former.covered + marks[done:out])[-len(turns) :]
        work = self._make(session_id, summarise_request(turns[done:out], former.text), covered, caller)
        self._tasks[session_id] = task = asyncio.create_task(work, name=f"summary {session_id}")
        task.add_done_callback(lambda ended: self._ended(session_id, ended))

    def forget(self, session_id: str) -> None:
        """The conversation is gone."""
        self._kept.pop(session_id, None)
        if (task := self._tasks.get(session_id)) is not None:
            task.cancel()

    async def aclose(self) -> None:
        """Give up what is under way."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, session_id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(session_id) is task:
            del self._tasks[session_id]

    async def _make(self, session_id: str, request: ModelRequest, covered: tuple[int, ...], caller: str) -> None:
        try:
            async with self._gate, asyncio.timeout(SECONDS):
                reply = await self._model.stream(request, lambda text: None)
            self._on_call(self._model.name, "ok")
            self._on_usage(caller, reply.model, reply.usage)
            if text := clean_summary(reply.text):
                self._keep(session_id, _Summary(text, covered))
        except ProviderError as error:
            self._on_call(self._model.name, error.kind)
        except TimeoutError:
            self._on_call(self._model.name, "timeout")
        except AskGraphError as error:
            log.warning("a summary could not be made", kind=error.kind)
        except Exception as error:
            log.exception("making a summary failed", error=type(error).__name__)

    def _keep(self, session_id: str, summary: _Summary) -> None:
        self._kept[session_id] = summary
        self._kept.move_to_end(session_id)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)


def summarise_request(turns: Sequence[Turn], former: str = "") -> ModelRequest:
    """Asks a model to sum up turns, with what sums up those before them."""
    shown = [f"Earlier summary: {former}"] if former else []
    for turn in turns[-MOST_TURNS:]:
        shown.append(f"User: {turn.question[:SHOWN_CHARS]}\n\nAssistant: {turn.answer[:SHOWN_CHARS]}")
    conversation = "\n\n".join(shown)
    return ModelRequest(
        messages=(Message("system", render("summary")), Message("user", conversation)),
        question=conversation,
        max_tokens=MAX_TOKENS,
    )


def clean_summary(text: str) -> str:
    """What a model said, without what cannot be sent on, cut at its bound."""
    return text.replace("\0", "").strip()[:MAX_CHARS]


def _marks(turns: Sequence[Turn]) -> tuple[int, ...]:
    """A number for each turn that tells it from others: within this process, and good enough for one conversation."""
    return tuple([hash((turn.question, turn.answer)) for turn in turns])
