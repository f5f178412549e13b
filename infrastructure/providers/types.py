"""What goes into a model and what comes out of it, whichever model it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from infrastructure.passages import Passage

Role = Literal["system", "user", "assistant", "tool"]
Emit = Callable[[str], None]
"""Takes a piece of the answer's text as soon as it is there. Pieces that arrived in one read come in one call."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to have a tool run. `arguments` is the model's JSON text, unchecked."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation as a model sees it."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as it is offered to a model. `parameters` is a JSON Schema object."""

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call of a model.

    `messages` is all that a chat model needs; what a provider does not know of the rest, it leaves out. `question` and
    `passages` say the same in pieces, for one that answers without a model; `passages[n - 1]` is source number n.
    """

    messages: tuple[Message, ...]
    question: str
    passages: tuple[Passage, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    max_tokens: int | None = None
    temperature: float | None = None
    stop: tuple[str, ...] = ()  # the answer ends before any of these
    model: str | None = None  # another model of the same provider
    caller: str = ""  # whose question it is: callers wait in turn for a provider that is busy
    deadline: float | None = None  # in the event loop's time: a try ends with it
    until: float | None = None  # in the same time: who asks waits no longer, so no pause goes beyond it
    may_fall_back: bool = True  # False: text of this answer has been said, and no other model may go on with it
    taken_over: "TakenOver | None" = None
    options: Mapping[str, Any] | None = None  # more of the body, where the endpoint speaks OpenAI's API


TakenOver = Callable[[str, str], None]
"""Told the provider and the model that answer instead, before their first piece of text."""


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.prompt_tokens + other.prompt_tokens, self.completion_tokens + other.completion_tokens)


@dataclass(frozen=True, slots=True)
class ModelReply:
    """What a call came to. `text` is all that was emitted, `finish_reason` OpenAI's word (stop, length, tool_calls)."""

    text: str
    model: str
    finish_reason: str = "stop"
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = field(default_factory=Usage)
