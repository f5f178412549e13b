"""A conversation as OpenAI's clients send it, in the words of this service."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from backend.schemas.openai import ChatMessage, CompletionRequest
from infrastructure.openai_errors import BadParameter
from infrastructure.providers.types import Message, ToolCall, ToolSpec
from services.sessions import Turn

MAX_QUESTION_CHARS = 32_000  # as in a chat
_RULES = ("system", "developer")
_SAMPLING = frozenset({"top_p", "seed", "presence_penalty", "frequency_penalty", "reasoning_effort"})
_BARE = _SAMPLING | {"tool_choice", "parallel_tool_calls", "response_format"}


@dataclass(frozen=True, slots=True)
class Conversation:
    """What the agent is asked: the last message, what was said before, and what the client wants of the answer."""

    question: str
    turns: tuple[Turn, ...]
    instructions: str


def conversation(messages: Sequence[ChatMessage]) -> Conversation:
    """
    Raises:
        BadParameter: the last message is not the user's, or no question.
    """
    said = [message for message in messages if message.role not in _RULES]
    if not said or said[-1].role != "user":
        raise BadParameter("The last message must be the user's.", "messages")
    question = (said[-1].content or "").strip()
    if not question or len(question) > MAX_QUESTION_CHARS:
        raise BadParameter(f"The last message must have 1 to {MAX_QUESTION_CHARS} characters.", "messages")
    rules = [message.content or "" for message in messages if message.role in _RULES]
    return Conversation(question, _turns(said[:-1]), "\n\n".join(rule for rule in rules if rule.strip()))


def _turns(said: Iterable[ChatMessage]) -> tuple[Turn, ...]:
    """Questions with their answers. Several messages in a row of one side are one; what has no answer is left out, as
    in a session, and so is what other tools said to other models.
    """
    turns: list[Turn] = []
    asked: list[str] = []
    answered: list[str] = []
    for message in said:
        if message.role == "user" and answered:
            turns.append(Turn("\n\n".join(asked), "\n\n".join(answered), "complete"))
            asked, answered = [], []
        if message.role == "user" and message.content:
            asked.append(message.content)
        elif message.role == "assistant" and message.content and asked:
            answered.append(message.content)
    if answered:
        turns.append(Turn("\n\n".join(asked), "\n\n".join(answered), "complete"))
    return tuple(turns)


def require_agents_own(body: CompletionRequest) -> None:
    """The agent uses tools of its own and answers in text: what insists on anything else cannot be had.

    Raises:
        BadParameter: it names what.
    """
    if body.tool_choice not in (None, "none", "auto"):
        raise BadParameter("askgraph uses its own tools and calls none of the client's.", "tool_choice")
    if body.response_format is not None and body.response_format.type != "text":
        raise BadParameter("askgraph answers in text.", "response_format")


def model_messages(messages: Iterable[ChatMessage]) -> tuple[Message, ...]:
    """The same for a model that is asked as it is."""
    return tuple(_message(message) for message in messages)


def tool_specs(body: CompletionRequest) -> tuple[ToolSpec, ...]:
    functions = [tool.function for tool in body.tools or ()]
    return tuple(ToolSpec(one.name, one.description or "", one.parameters) for one in functions)


def passed_on(body: CompletionRequest) -> dict[str, Any]:
    """What else of the request a bare model's endpoint gets as it is."""
    fields = body.model_dump(include=set(_BARE), exclude_none=True)
    if any(tool.function.strict for tool in body.tools or ()):
        fields |= body.model_dump(include={"tools"}, exclude_none=True)
    return fields


def sampling(body: CompletionRequest) -> dict[str, Any] | None:
    """What the agent's model gets of it; None where there is nothing."""
    return body.model_dump(include=set(_SAMPLING), exclude_none=True) or None


def _message(message: ChatMessage) -> Message:
    calls = tuple(ToolCall(one.id, one.function.name, one.function.arguments) for one in message.tool_calls or ())
    role = "system" if message.role == "developer" else message.role
    return Message(role, message.content or "", calls if role == "assistant" else (), message.tool_call_id)
