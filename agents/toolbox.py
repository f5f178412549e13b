"""The tools that a model may use, and the turn in which they are used."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import structlog

from agents.approvals import DECLINED, PendingCall, ask, pending_call
from agents.events import Step
from agents.policies import budget_spent
from agents.prompts import FENCE, LAST_CALL, render_source
from agents.state import Budget, RunContext, State
from agents.tools.base import MAX_RESULT_CHARS, Tool, ToolResult
from agents.tools.registry import Registry
from infrastructure.errors import AskGraphError, ToolFailed
from infrastructure.passages import Passage
from infrastructure.providers.types import Message, ToolCall, ToolSpec

log = structlog.get_logger()
TOOL_SECONDS = 20.0
UNKNOWN_NAME = "unknown_tool"  # what a step is called when the model names no tool of ours: its text is not repeated
MAX_CALL_ID_CHARS = 128
Tools = Mapping[str, Tool]


class Toolbox:
    """Runs tool calls within a budget. Results are data for the model, never instructions."""

    def __init__(self, tools: Registry | Iterable[Tool], *, seconds: float = TOOL_SECONDS) -> None:
        self.registry = tools if isinstance(tools, Registry) else Registry(tools)
        self._seconds = seconds

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """Every tool, as it is offered to a model."""
        return self.offered()

    def offered(self, names: frozenset[str] | None = None) -> tuple[ToolSpec, ...]:
        """The tools of an agent that may use `names` (None: all), as they are offered to a model."""
        return tuple(tool.spec for tool in self.registry.offered(names).values())

    async def use(self, state: State, context: RunContext) -> State:
        """Answer the calls of the last reply, each with one result, so that none is left open.

        Where calls wait for a person the run is interrupted here, before anything is done: going on it begins anew.
        """
        reply, passages = state["reply"], list(state["passages"])
        tools = self.registry.offered(context.tools)
        ids = step_ids(reply.tool_calls, state["exchange"])
        declined = self._ask(reply.tool_calls, ids, tools, context.budget)
        context.writer.flush()
        _count(reply.tool_calls, context.budget)
        results = []
        for call, step_id in zip(reply.tool_calls, ids, strict=True):
            if context.budget.spent:
                text = LAST_CALL
            elif step_id in declined:
                text = _decline(call, step_id, context)
            else:
                text = await self._answer(call, step_id, tools, context, passages)
            results.append(Message("tool", text, tool_call_id=call.id))
        turn = Message("assistant", reply.text, tool_calls=reply.tool_calls)
        if context.writer.has_text and not context.writer.text[-1].isspace():
            context.writer.put("\n\n")  # the next turn's text is another paragraph
        return {"exchange": (*state["exchange"], turn, *results), "passages": tuple(passages)}

    def _ask(self, calls: Sequence[ToolCall], ids: Sequence[str], tools: Tools, budget: Budget) -> set[str]:
        """The steps that a person declined. Nobody is asked for what would not run anyhow."""
        if _spent(calls, budget):
            return set()
        pairs = zip(calls, ids, strict=True)
        waiting = [pending for call, step_id in pairs if (pending := _waits(call, step_id, tools)) is not None]
        if not waiting:
            return set()
        approved = ask(waiting)
        return {call.call_id for call in waiting if call.call_id not in approved}

    async def _answer(
        self, call: ToolCall, step_id: str, tools: Tools, context: RunContext, passages: list[Passage]
    ) -> str:
        name = call.name if call.name in tools else UNKNOWN_NAME
        context.writer.frame(Step(name, "started", call_id=step_id))
        span = context.trace.begin("tool", name) if context.trace else None
        try:
            result = await self._run(call, tools, context)
        except AskGraphError as error:
            context.writer.frame(Step(name, "failed", error.message, step_id))
            text = f"The tool failed: {FENCE.sub('&lt;', error.message)}"
            if context.trace and span:
                context.trace.end_tool(span, "failed", call.arguments, text, error=error.kind)
            return text
        context.writer.frame(Step(name, "finished", f"{len(result.passages)} passages", step_id))
        text = render_result(result, passages)
        if context.trace and span:
            context.trace.end_tool(span, "finished", call.arguments, text, passages=len(result.passages))
        return text

    async def _run(self, call: ToolCall, tools: Tools, context: RunContext) -> ToolResult:
        tool = tools.get(call.name)
        if tool is None:
            raise ToolFailed(f"There is no such tool. The tools are: {', '.join(tools)}.")
        seconds = max(min(self._seconds, context.budget.seconds_left()), 0.0)
        try:
            async with asyncio.timeout(seconds):
                return await tool.run(call.arguments, context.scope)
        except TimeoutError:
            raise ToolFailed("The tool took too long.") from None


def _waits(call: ToolCall, step_id: str, tools: Tools) -> PendingCall | None:
    """What a person is asked about a call; None where it has no side effects, or its arguments would not be taken."""
    tool = tools.get(call.name)
    if tool is None or not tool.side_effects:
        return None
    try:
        tool.check(call.arguments)
    except ToolFailed:
        return None
    return pending_call(step_id, call)


def _decline(call: ToolCall, step_id: str, context: RunContext) -> str:
    context.writer.frame(Step(call.name, "failed", "Not approved.", step_id))
    if context.trace:
        context.trace.end_tool(context.trace.begin("tool", call.name), "declined", call.arguments, DECLINED)
    return DECLINED


def step_ids(calls: Sequence[ToolCall], exchange: Iterable[Message]) -> list[str]:
    """What each call is known by in the run's frames: the model's own id, made different where it was used before."""
    used = Counter(call.id[:MAX_CALL_ID_CHARS] for message in exchange for call in message.tool_calls)
    ids = []
    for call in calls:
        name = call.id[:MAX_CALL_ID_CHARS]
        used[name] += 1
        ids.append(name if name and used[name] == 1 else f"{name}#{used[name]}")
    return ids


def _spent(calls: Sequence[ToolCall], budget: Budget) -> str | None:
    """Which budget is used up when these calls come, if one is."""
    seen = budget.calls + Counter((call.name, call.arguments) for call in calls)
    return budget_spent(
        steps_used=budget.steps_used,
        max_steps=budget.max_steps,
        tokens_used=budget.usage.prompt_tokens + budget.usage.completion_tokens,
        max_tokens=budget.max_tokens,
        repeats=max((seen[call.name, call.arguments] for call in calls), default=0),
        seconds_left=budget.seconds_left(),
    )


def _count(calls: Sequence[ToolCall], budget: Budget) -> None:
    budget.spent = _spent(calls, budget)
    budget.calls.update((call.name, call.arguments) for call in calls)
    budget.steps_used += 1


def render_result(result: ToolResult, passages: list[Passage]) -> str:
    """The result as a model reads it. Its passages get the next source numbers, or the ones that they have.

    Passages behind the bound are left out whole: a source that is cut would lack the end of its fence. What a tool says
    besides cannot pass for a source.
    """
    lines = [FENCE.sub("&lt;", result.text[:MAX_RESULT_CHARS])[:MAX_RESULT_CHARS]]
    left = MAX_RESULT_CHARS - len(lines[0])
    numbers = {passage.chunk_id: number for number, passage in enumerate(passages, 1)}
    for passage in result.passages:
        source = render_source(numbers.get(passage.chunk_id, len(passages) + 1), passage)
        left -= len(source) + 1
        if left < 0:
            break
        lines.append(source)
        if passage.chunk_id not in numbers:
            passages.append(passage)
            numbers[passage.chunk_id] = len(passages)
    return "\n".join(lines)
