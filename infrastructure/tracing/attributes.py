"""Spans in the words of OpenTelemetry's GenAI conventions, and in Langfuse's.

Facts by kind of span. run: `outcome`, `reply_model`, `confidence`, `grounded`, `finish_reason`, `citations`,
`prompt_tokens`, `completion_tokens`, `first_word` (seconds), `prompts`, `agent`. node: `passages`, `confidence`,
`waits`. tool: `outcome`, `passages`, `size` (characters). generation: `provider`, `model`, `reply_model`,
`temperature`, `max_tokens`, `finish_reason`, `prompt_tokens`, `completion_tokens`, `tool_calls`, `first_at` (Unix ns).
With content besides: run `question`, `answer`; tool `arguments`, `result`; generation `messages`, `text`.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

from infrastructure.providers.types import Message
from infrastructure.tracing.contents import gen_ai_messages, plain_messages, told
from infrastructure.tracing.record import Span

Value = str | bool | int | float | tuple[str, ...] | None
"""None is left out."""
Attributes = Iterable[tuple[str, Value]]
Prices = Mapping[str, tuple[float, float]]
"""By `provider/model` or `model`: dollars for a million tokens of prompt, and of answer."""
LOCAL_PROVIDERS = ("extractive", "local", "ollama")
_RUN_FACTS = ("outcome", "confidence", "grounded", "finish_reason", "citations", "first_word", "prompts")


class Dialect(Protocol):
    """Puts a span in the words of a destination."""

    def attributes(self, span: Span) -> Attributes: ...


def span_name(span: Span) -> str:
    """As the conventions want it: the operation, then what it is done to or with."""
    if span.kind == "generation":
        return f"chat {span.name}"
    return f"execute_tool {span.name}" if span.kind == "tool" else span.name


class GenAI:
    """OpenTelemetry's conventions; what they have no word for is under `askgraph.`."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._of: dict[str, Callable[[Span], Attributes]] = {
            "run": _gen_ai_run, "node": _gen_ai_node, "tool": _gen_ai_tool, "generation": self._generation,
        }  # fmt: skip

    def attributes(self, span: Span) -> Attributes:
        yield "error.type", span.error
        if span.kind == "tool":
            yield "gen_ai.tool.name", span.name
        yield from self._of[span.kind](span)

    def _generation(self, span: Span) -> Attributes:
        facts = span.facts
        yield from _generation(span)
        if (cost := cost_of(facts, self._prices)) is not None:
            yield "gen_ai.usage.cost", sum(cost)
        if messages := facts.get("messages"):
            yield "gen_ai.input.messages", gen_ai_messages(messages)
            yield "gen_ai.output.messages", gen_ai_messages([Message("assistant", facts.get("text", ""))])


class Langfuse:
    """Langfuse's own attributes where it has them, which go before all others there, and the conventions' elsewhere.

    The run itself has neither usage nor cost: those of its generations are added up.
    """

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._of: dict[str, Callable[[Span], Attributes]] = {
            "run": _langfuse_run, "node": _langfuse_node, "tool": _langfuse_tool, "generation": self._generation,
        }  # fmt: skip

    def attributes(self, span: Span) -> Attributes:
        if span.error is not None:
            yield "langfuse.observation.level", "ERROR"
            yield "langfuse.observation.status_message", span.error
        if span.kind == "tool":
            yield "gen_ai.tool.name", span.name
        yield from self._of[span.kind](span)

    def _generation(self, span: Span) -> Attributes:
        facts = span.facts
        yield "langfuse.observation.type", "generation"
        yield from _generation(span)
        if (cost := cost_of(facts, self._prices)) is not None:
            details = {"input": cost[0], "output": cost[1], "total": sum(cost)}
            yield "langfuse.observation.cost_details", orjson.dumps(details).decode()
        if (first := facts.get("first_at")) is not None:
            yield "langfuse.observation.completion_start_time", _iso(first)
        if messages := facts.get("messages"):
            yield "langfuse.observation.input", plain_messages(messages)
            yield "langfuse.observation.output", told(facts.get("text", ""))


def cost_of(facts: Mapping[str, Any], prices: Prices) -> tuple[float, float] | None:
    """Dollars for the prompt and for the answer; None where no price is known."""
    if not prices or "prompt_tokens" not in facts:
        return None
    models = [str(facts[name]) for name in ("reply_model", "model") if name in facts]
    names = [name for model in models for name in (f"{facts.get('provider')}/{model}", model)]
    price = next((prices[name] for name in names if name in prices), None)
    if price is None:
        return None
    return facts["prompt_tokens"] * price[0] / 1e6, facts["completion_tokens"] * price[1] / 1e6


def _generation(span: Span) -> Attributes:
    get = span.facts.get
    yield "gen_ai.operation.name", "chat"
    yield "gen_ai.provider.name", get("provider")
    yield "gen_ai.request.model", get("model")
    yield "gen_ai.response.model", get("reply_model")
    yield "gen_ai.request.temperature", get("temperature")
    yield "gen_ai.request.max_tokens", get("max_tokens")
    yield "gen_ai.usage.input_tokens", get("prompt_tokens")
    yield "gen_ai.usage.output_tokens", get("completion_tokens")
    if (reason := get("finish_reason")) is not None:
        yield "gen_ai.response.finish_reasons", (reason,)
    if (first := get("first_at")) is not None:
        yield "gen_ai.response.time_to_first_chunk", (first - span.start) / 1e9
    yield "askgraph.tool_calls", get("tool_calls")


def _gen_ai_run(span: Span) -> Attributes:
    get = span.facts.get
    yield "gen_ai.operation.name", "invoke_agent"
    yield "gen_ai.agent.name", "askgraph"
    yield "gen_ai.agent.id", get("agent")
    yield "gen_ai.response.model", get("reply_model")
    yield "gen_ai.usage.input_tokens", get("prompt_tokens")
    yield "gen_ai.usage.output_tokens", get("completion_tokens")
    for name in _RUN_FACTS:
        yield f"askgraph.{name}", get(name)
    if (question := get("question")) is not None:
        yield "gen_ai.input.messages", gen_ai_messages([Message("user", question)])
        yield "gen_ai.output.messages", gen_ai_messages([Message("assistant", get("answer", ""))])


def _langfuse_run(span: Span) -> Attributes:
    get = span.facts.get
    yield "langfuse.observation.type", "agent"
    for name in (*_RUN_FACTS, "agent"):
        yield f"langfuse.trace.metadata.{name}", get(name)
    yield "langfuse.trace.metadata.model", get("reply_model")
    if (question := get("question")) is not None:
        yield "langfuse.observation.input", told(question)
        yield "langfuse.observation.output", told(get("answer", ""))


def _gen_ai_node(span: Span) -> Attributes:
    for name, value in span.facts.items():
        yield f"askgraph.{name}", value


def _langfuse_node(span: Span) -> Attributes:
    yield "langfuse.observation.type", "retriever" if "passages" in span.facts else "span"
    for name, value in span.facts.items():
        yield f"langfuse.observation.metadata.{name}", value


def _gen_ai_tool(span: Span) -> Attributes:
    get = span.facts.get
    yield "gen_ai.operation.name", "execute_tool"
    yield "gen_ai.tool.type", "function"
    for name in ("outcome", "passages", "size"):
        yield f"askgraph.tool.{name}", get(name)
    if (arguments := get("arguments")) is not None:
        yield "gen_ai.tool.call.arguments", told(arguments)
        yield "gen_ai.tool.call.result", told(get("result", ""))


def _langfuse_tool(span: Span) -> Attributes:
    get = span.facts.get
    yield "langfuse.observation.type", "tool"
    for name in ("outcome", "passages", "size"):
        yield f"langfuse.observation.metadata.{name}", get(name)
    if (arguments := get("arguments")) is not None:
        yield "langfuse.observation.input", told(arguments)
        yield "langfuse.observation.output", told(get("result", ""))


def _iso(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat()
