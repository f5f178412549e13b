"""What a run tells of itself while it goes on: spans of its nodes, its models and its tools, kept until it has ended.

Where nobody wants traces a run has no `RunTrace`, and nothing of this is called.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from time import time_ns
from typing import Any, Protocol, TypeVar

from langgraph.errors import GraphBubbleUp

from agents.ports import Model
from infrastructure.errors import AskGraphError
from infrastructure.providers.types import Emit, ModelReply, ModelRequest
from infrastructure.tracing.record import Kind, Span, Trace

MAX_SPANS = 256
"""Of one run; later ones are not kept."""
NO_ERRORS = ("complete", "no_relevant_answer", "cancelled", "suspended")
"""Outcomes of a run that are no faults."""
T = TypeVar("T")


class Traces(Protocol):
    """Where traces go."""

    @property
    def content(self) -> bool:
        """Whether questions, prompts and answers are told too."""

    def trace_id(self, run_id: str) -> bytes | None:
        """The trace's id, 16 bytes; None: this run is not traced."""

    def take(self, trace: Trace) -> None:
        """Returns at once."""


class RunTrace:
    """The trace of one run. Its spans nest as they begin and end: a run does one thing at a time."""

    __slots__ = ("_open", "_traces", "trace")

    def __init__(self, traces: Traces, trace: Trace) -> None:
        self._traces = traces
        self.trace = trace
        self._open: list[int] = []  # places of the spans that go on, outermost first
        self.begin("run", trace.name)

    @property
    def id(self) -> str:
        """As tracing tools show it: 32 hexadecimal digits."""
        return self.trace.id.hex()

    @property
    def content(self) -> bool:
        return self._traces.content

    @property
    def depth(self) -> int:
        """How many spans go on."""
        return len(self._open)

    def begin(self, kind: Kind, name: str) -> Span:
        """A span inside the one that began last and goes on."""
        span = Span(kind, name, self._open[-1] if self._open else None, time_ns())
        if len(self.trace.spans) < MAX_SPANS:
            self._open.append(len(self.trace.spans))
            self.trace.spans.append(span)
        return span

    def end(self, span: Span, error: str | None = None, **facts: Any) -> None:
        """`span` has ended, and with it what began inside it."""
        span.end, span.error = time_ns(), error
        span.facts.update(facts)
        while self._open and self.trace.spans[self._open[-1]].end:
            self._open.pop()

    def end_tool(
        self, span: Span, outcome: str, arguments: str, result: str, *, passages: int = 0, error: str | None = None
    ) -> None:
        """A tool's call has ended: `finished`, `failed` or `declined`. Its texts are kept where content is told."""
        self.end(span, error, outcome=outcome, size=len(result), passages=passages)
        if self.content:
            span.facts.update(arguments=arguments, result=result)

    def close(self, depth: int, error: str | None) -> None:
        """End every span but the outermost `depth`: those that an error left open, too."""
        now = time_ns()
        while len(self._open) > depth:
            span = self.trace.spans[self._open.pop()]
            if not span.end:
                span.end, span.error = now, error

    def finish(self, outcome: str, facts: Mapping[str, Any]) -> None:
        """The run has ended: send its trace on its way."""
        error = None if outcome in NO_ERRORS else outcome
        self.close(1, error or outcome)
        self.trace.spans[0].facts.update(facts, outcome=outcome)
        self.close(0, error)
        self._traces.take(self.trace)


def begin_trace(traces: Traces, run_id: str, name: str, *, session: str | None, user: str | None) -> RunTrace | None:
    """None where this run is not traced."""
    trace_id = traces.trace_id(run_id)
    return RunTrace(traces, Trace(trace_id, name, session, user)) if trace_id is not None else None


async def traced(trace: RunTrace, kind: Kind, name: str, work: Callable[[Span], Awaitable[T]]) -> T:
    """What `work` returns, which is given the span that lasts as long as it does."""
    depth = trace.depth
    span = trace.begin(kind, name)
    try:
        found = await work(span)
    except BaseException as error:
        span.end, span.error = time_ns(), error_kind(error)
        if isinstance(error, GraphBubbleUp):
            span.facts["waits"] = True
        trace.close(depth, span.error)
        raise
    span.end = time_ns()
    trace.close(depth, None)
    return found


async def streamed(trace: RunTrace | None, model: Model, request: ModelRequest, emit: Emit) -> ModelReply:
    """`model.stream`, told as a generation where the run is traced."""
    if trace is None:
        return await model.stream(request, emit)
    return await traced(trace, "generation", model.model, lambda span: _generated(trace, span, model, request, emit))


async def _generated(trace: RunTrace, span: Span, model: Model, request: ModelRequest, emit: Emit) -> ModelReply:
    facts = span.facts
    facts.update(provider=model.name, model=model.model, temperature=request.temperature, max_tokens=request.max_tokens)
    if trace.content:
        facts["messages"] = request.messages

    def heard(text: str) -> None:
        if "first_at" not in facts:
            facts["first_at"] = time_ns()
        emit(text)

    def taken_over(provider: str, name: str) -> None:
        facts["provider"] = provider
        if request.taken_over is not None:
            request.taken_over(provider, name)

    reply = await model.stream(replace(request, taken_over=taken_over), heard)
    facts.update(
        reply_model=reply.model,
        finish_reason=reply.finish_reason,
        prompt_tokens=reply.usage.prompt_tokens,
        completion_tokens=reply.usage.completion_tokens,
        tool_calls=len(reply.tool_calls),
    )
    if trace.content:
        facts["text"] = reply.text
    return reply


def error_kind(error: BaseException) -> str | None:
    """An error in a word; None for what is none: a graph that waits for a person."""
    if isinstance(error, AskGraphError):
        return error.kind
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    return None if isinstance(error, GraphBubbleUp) else "internal_error"


class TracedModel:
    """A model that is asked outside runs: each call is a trace of its own."""

    def __init__(self, model: Model, traces: Traces, call_id: str, user: str | None) -> None:
        self._model = model
        self._traces = traces
        self._call_id = call_id
        self._user = user

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def model(self) -> str:
        return self._model.model

    async def stream(self, request: ModelRequest, emit: Emit) -> ModelReply:
        trace = begin_trace(self._traces, self._call_id, "completion", session=None, user=self._user)
        if trace is None:
            return await self._model.stream(request, emit)
        outcome: str | None = "internal_error"
        try:
            reply = await streamed(trace, self._model, request, emit)
            outcome = "complete"
            return reply
        except BaseException as error:
            outcome = error_kind(error)
            raise
        finally:
            trace.finish(outcome or "internal_error", {})

    async def aclose(self) -> None:
        await self._model.aclose()
