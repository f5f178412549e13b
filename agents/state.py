"""What a run carries: the graph's state, and the context that its nodes share."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from agents.ports import Model
from agents.tracing import RunTrace
from agents.writer import RunWriter
from infrastructure.passages import Passage
from infrastructure.providers.types import Message, ModelReply, Usage
from services.answer_cache import Place
from services.knowledge.curated import CuratedMatch
from services.knowledge.grounding import Citation
from services.knowledge.scope import SHARED_SCOPE, Scope
from services.knowledge.search import Retrieval
from services.personas import DEFAULT_PERSONA, Persona
from services.sessions import Turn


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to, ready to be saved and said.

    `supported` is False when nothing in the knowledge bears on the question and the answer says just that.
    """

    answer: str
    confidence: float
    grounded: bool
    supported: bool
    citations: tuple[Citation, ...]
    model: str
    finish_reason: str
    usage: Usage
    rejected_markers: int = 0  # markers in the answer that name no passage
    cached: bool = False  # it was given before, and is said again


class Result(TypedDict, total=False):
    """What the graph gives back."""

    outcome: Outcome


class State(TypedDict, total=False):
    """Values that nodes hand on. Keys are few: each one is a channel that costs time in every step."""

    history: tuple[Message, ...]  # the newest part of the conversation, as a model sees it
    retrieval: Retrieval
    passages: tuple[Passage, ...]  # source number n is passages[n - 1]
    exchange: tuple[Message, ...]  # this run's own turns with the model: its tool calls and their results
    reply: ModelReply
    curated: CuratedMatch
    outcome: Outcome


@dataclass(slots=True)
class Budget:
    """What a run may use up. `deadline` is in the event loop's time."""

    deadline: float
    max_steps: int
    max_tokens: int
    steps_used: int = 0
    usage: Usage = field(default_factory=Usage)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    spent: str | None = None  # which budget ended the work: steps, repeats, tokens, seconds

    def seconds_left(self) -> float:
        return self.deadline - asyncio.get_running_loop().time()


@dataclass(slots=True)
class RunContext:
    """The run's own things, the same for all its nodes; no part of the graph's state."""

    question: str
    turns: tuple[Turn, ...]  # the conversation so far, oldest first
    session_id: str | None
    writer: RunWriter
    budget: Budget
    scope: Scope = SHARED_SCOPE
    rag_mode: str = "auto"
    chosen: bool = False  # whether whoever asks chose the files that are looked into
    knowledge_mark: int = 0  # how far the knowledge had come when its passages were looked for
    model: Model | None = None  # what this question chose; None: the default
    temperature: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()  # the model's answer ends before any of these
    options: Mapping[str, Any] | None = None  # more of the model's request, where its endpoint speaks OpenAI's API
    wishes: str = ""  # of the one who asks, for this answer
    caller: str = ""  # with whom it takes turns where a provider is busy
    dropped_markers: int = 0  # that named no source, and were not passed on
    persona: Persona = DEFAULT_PERSONA
    summary: str = ""  # of what the conversation had before
    tools: frozenset[str] | None = None  # the names that may be used; None: all
    anew: bool = False  # another answer than the one that was given is wanted
    stood_in: bool = False  # another model than the chosen one has answered
    place: Place | None = None  # where the answer is to be kept for who asks the same; None: nowhere
    kept: Mapping[str, Any] | None = None  # what another process needs to go on with this run; None: it is not kept
    trace: RunTrace | None = None  # None: this run is not traced
