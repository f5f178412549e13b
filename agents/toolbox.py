"""The tools that a model may use, and the turn in which they are used."""

import asyncio
from collections.abc import Iterable

import structlog

from agents.events import Step
from agents.policies import budget_spent
from agents.prompts import LAST_CALL, render_source
from agents.state import Budget, RunContext, State
from agents.tools.base import MAX_RESULT_CHARS, Tool, ToolResult
from infrastructure.errors import AskGraphError, ToolFailed
from infrastructure.passages import Passage
from infrastructure.providers.types import Message, ToolCall, ToolSpec

log = structlog.get_logger()
TOOL_SECONDS = 20.0
UNKNOWN_NAME = "unknown_tool"  # what a step is called when the model names no tool of ours: its text is not repeated


class Toolbox:
    """Runs tool calls within a budget. Results are data for the model, never instructions."""

    def __init__(self, tools: Iterable[Tool], *, seconds: float = TOOL_SECONDS) -> None:
        self._tools = {tool.spec.name: tool for tool in tools}
        self._seconds = seconds
        self.specs: tuple[ToolSpec, ...] = tuple(tool.spec for tool in self._tools.values())

    async def use(self, state: State, context: RunContext) -> State:
        """Answer the calls of the last reply, each with one result, so that none is left open."""
        context.writer.flush()
        reply, passages = state["reply"], list(state["passages"])
        self._count(reply.tool_calls, context.budget)
        results = []
        for call in reply.tool_calls:
            text = LAST_CALL if context.budget.spent else await self._answer(call, context, passages)
            results.append(Message("tool", text, tool_call_id=call.id))
        turn = Message("assistant", reply.text, tool_calls=reply.tool_calls)
        if context.writer.has_text and not context.writer.text[-1].isspace():
            context.writer.put("\n\n")  # the next turn's text is another paragraph
        return {"exchange": (*state["exchange"], turn, *results), "passages": tuple(passages)}

    def _count(self, calls: tuple[ToolCall, ...], budget: Budget) -> None:
        budget.calls.update((call.name, call.arguments) for call in calls)
        budget.spent = budget_spent(
            steps_used=budget.steps_used,
            max_steps=budget.max_steps,
            tokens_used=budget.usage.prompt_tokens + budget.usage.completion_tokens,
            max_tokens=budget.max_tokens,
            repeats=max((budget.calls[call.name, call.arguments] for call in calls), default=0),
            seconds_left=budget.seconds_left(),
        )
        budget.steps_used += 1

    async def _answer(self, call: ToolCall, context: RunContext, passages: list[Passage]) -> str:
        name = call.name if call.name in self._tools else UNKNOWN_NAME
        context.writer.frame(Step(name, "started", call_id=call.id[:128]))
        try:
            result = await self._run(call, context)
        except AskGraphError as error:
            context.writer.frame(Step(name, "failed", error.message, call.id[:128]))
            return f"The tool failed: {error.message}"
        context.writer.frame(Step(name, "finished", f"{len(result.passages)} passages", call.id[:128]))
        return _render(result, passages)

    async def _run(self, call: ToolCall, context: RunContext) -> ToolResult:
        tool = self._tools.get(call.name)
        if tool is None:
            raise ToolFailed(f"There is no such tool. The tools are: {', '.join(self._tools)}.")
        seconds = max(min(self._seconds, context.budget.seconds_left()), 0.0)
        try:
            async with asyncio.timeout(seconds):
                return await tool.run(call.arguments, context.scope)
        except TimeoutError:
            raise ToolFailed("The tool took too long.") from None


def _render(result: ToolResult, passages: list[Passage]) -> str:
    """The result as the model reads it. Its passages get the next source numbers, or the ones that they have.

    Passages behind the bound are left out whole: a source that is cut would lack the end of its fence.
    """
    lines = [result.text[:MAX_RESULT_CHARS]]
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
