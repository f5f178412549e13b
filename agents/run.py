"""A question on its way: as it is asked, as a run under way, and as what the one who asked gets."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.ports import Model
from agents.prompts import PROMPT_VERSIONS
from agents.saved_run import SavedRun
from agents.state import Budget, Outcome
from agents.tracing import RunTrace
from agents.writer import RunWriter
from infrastructure.database.repositories.turns import BegunTurn
from infrastructure.errors import AskGraphError
from infrastructure.providers.types import Usage
from services.sessions import Session, Turn

MANNER = ("file_ids", "rag_mode", "max_tokens", "stop", "options", "instructions", "agent_id")
"""Fields of `Ask` that say how a question is asked, besides its model and its temperature."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question as it arrives, checked. `session_id` None and `keep` False: nothing is remembered.

    `caller` is the address that asks, `owner` the signed-in user's id. With `must_exist` an unknown session is not
    begun. `edits` is the user message that this question takes the place of, `regenerates` the one that is answered
    anew (then `question` is not looked at).
    """

    question: str
    caller: str
    session_id: str | None = None
    keep: bool = False
    request_id: str | None = None
    owner: str | None = None
    must_exist: bool = False
    fresh: bool = False  # the session's id was made here just now: nobody can have it yet
    edits: str | None = None
    regenerates: str | None = None
    file_ids: tuple[str, ...] = ()  # the files that are looked into, and no others; none: all that the scope has
    rag_mode: str = "auto"  # auto, hybrid (passages), or full_file
    model: Model | None = None  # what is to answer; None: the default
    temperature: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()  # the model's answer ends before any of these
    options: Mapping[str, Any] | None = None  # more of the model's request, where its endpoint speaks OpenAI's API
    turns: tuple[Turn, ...] = ()  # the conversation so far, where the client keeps it: for a question outside sessions
    instructions: str = ""  # the client's own, for this answer
    agent_id: str | None = None  # the agent that answers; None: the chat's, if it has one

    @property
    def manner(self) -> dict[str, Any] | None:
        """How it is asked, as JSON, for whoever has to begin its run anew: what is not as usual, None where all is."""
        usual = {"rag_mode": "auto"}
        named = {name: getattr(self, name) for name in MANNER}
        manner = {name: value for name, value in named.items() if value and value != usual.get(name)}
        if self.temperature is not None:
            manner["temperature"] = self.temperature
        if self.file_ids and self.owner is not None:
            manner["owner"] = self.owner  # whose files they are, also in a chat that is nobody's
        if self.model is not None:
            manner["model"] = f"{self.model.name}/{self.model.model}"
        return manner or None

    @property
    def digest(self) -> str:
        """What tells whether a request id came with the same question again."""
        asked = f"{self.question}\0{self.edits}\0{self.regenerates}"
        if self.file_ids or self.rag_mode != "auto":
            asked = f"{asked}\0{self.file_ids}\0{self.rag_mode}"
        if self.agent_id is not None:
            asked = f"{asked}\0{self.agent_id}"
        if self.model or self.temperature is not None or self.max_tokens is not None:
            chosen = f"{self.model.name}/{self.model.model}" if self.model else ""
            asked = f"{asked}\0{chosen}\0{self.temperature}\0{self.max_tokens}"
        return hashlib.sha256(asked.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class RunHandle:
    """What the one who asked gets: the run's frames are read from the event log under `id`."""

    id: str
    session_id: str | None
    joined: bool = False
    user_message_id: str | None = None
    answer_id: str | None = None  # the assistant message's, which is there when the run has ended


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What one run may use, and how many may be under way at once."""

    seconds: float = 180.0
    tokens: int = 100_000
    tool_steps: int = 5
    active: int = 1000
    attempts: int = 2  # how often a run is begun, where its processes die


@dataclass(slots=True)
class Run:
    """A run under way."""

    id: str
    session: Session
    question: str
    writer: RunWriter
    begun: BegunTurn | None  # what is kept of it; None for a question that keeps nothing
    answer_id: str
    ask: Ask
    owner: str | None
    fence: int = 1  # what tells this process's frames and answer from those of one that had it before
    budget: Budget | None = None  # what it has used, once it works
    facts: Mapping[str, Any] = field(default_factory=dict)  # what is kept of it at its end
    saved: SavedRun | None = None  # it waited for a person in another process
    trace: RunTrace | None = None  # None: it is not traced
    found: Outcome | None = None  # what it came to; None: it has not ended, or ended otherwise
    task: asyncio.Task[None] | None = None
    working: bool = False  # its task has taken its first step: only then can cancelling it be seen from inside
    lost: bool = False  # it is another process's, or to be: nothing more of it is said or kept here
    ending: bool = False  # how it ends is settled: it cannot be stopped any more
    stop_at: float | None = None  # when it was told to stop, in the loop's time
    stop_reason: AskGraphError | None = None  # None: the one who asked wanted it
    started_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    @property
    def agent_id(self) -> str | None:
        """The agent that answers; None: the service in its own manner."""
        return self.ask.agent_id or (self.begun.agent_id if self.begun else None)

    @property
    def ms(self) -> float:
        """How long it has taken so far, in milliseconds."""
        return round((asyncio.get_running_loop().time() - self.started_at) * 1000, 1)

    @property
    def figures(self) -> dict[str, Any]:
        """What its line says of it besides how it ended: figures and ids, nothing of what was said."""
        usage = self.budget.usage if self.budget else Usage()
        first = self.writer.first_token
        return {
            "model": self.found.model if self.found else self.ask.model.model if self.ask.model else None,
            "agent": self.agent_id,
            "words": self.writer.words,
            "first_token_ms": None if first is None else round(first * 1000, 1),
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
        }

    def told(self, content: bool) -> dict[str, Any]:
        """What its trace says of it as a whole; with `content` the question and the answer, too."""
        usage = self.budget.usage if self.budget else Usage()
        facts: dict[str, Any] = {
            "agent": self.agent_id,
            "prompts": PROMPT_VERSIONS,
            "first_word": self.writer.first_token,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
        }
        if (found := self.found) is not None:
            facts |= {
                "reply_model": found.model,
                "confidence": found.confidence,
                "grounded": found.grounded,
                "finish_reason": found.finish_reason,
                "citations": len(found.citations),
            }
        return facts | {"question": self.question, "answer": self.writer.text} if content else facts
