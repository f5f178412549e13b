"""Having a model answer within a budget, with its tools, and with what there is when the model is away."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from agents.events import NO_RELEVANT_ANSWER, Metadata, Source
from agents.markers import MarkerFilter
from agents.ports import Model
from agents.prompts import BUDGET_NOTES, render_messages
from agents.state import RunContext, State
from agents.toolbox import Toolbox
from infrastructure.errors import ProviderError
from infrastructure.passages import Passage
from infrastructure.providers.types import ModelReply, ModelRequest, ToolSpec

log = structlog.get_logger()
OnCall = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Generation:
    """One model, what stands in for it, and the tools that it may use.

    `extractive` answers without a model when a budget ends the work; `fall_back` says whether it also answers when
    the model fails before its first token.
    """

    model: Model
    extractive: Model
    tools: Toolbox
    fall_back: bool
    max_tokens: int | None = None
    on_call: OnCall = lambda provider, outcome: None
    """Told of each call of the model: the provider's name, and `ok` or the error's kind."""

    async def next(self, state: State, context: RunContext, supported: bool) -> ModelReply:
        """The model's next turn: text to the writer, or tool calls.

        Raises:
            ProviderError: the model failed and nothing stands in for it, or text had been said before.
        """
        usable = state["passages"] if supported or state["exchange"] else ()
        closing = context.budget.spent is not None
        offered = () if closing or self.model.name == "extractive" else self.tools.specs
        passages = usable if self.model.name == "extractive" else state["passages"]
        try:
            reply = await self._ask(self._request(state, context, passages, offered), context)
        except ProviderError as error:
            if not self.fall_back or self.model.name == "extractive" or context.writer.has_text:
                raise
            log.warning("model failed, answering from the knowledge", provider=self.model.name, kind=error.kind)
            return await self._stand_in(state, context, usable)
        context.budget.usage += reply.usage
        if context.budget.spent == "seconds" or (closing and reply.tool_calls):
            return await self._close(state, context, usable, reply)
        if closing:
            self._note(context)
        return reply

    async def _ask(self, request: ModelRequest, context: RunContext) -> ModelReply:
        before = len(context.writer.text)
        markers = MarkerFilter(context.writer.put, len(request.passages))
        try:
            async with asyncio.timeout(max(context.budget.seconds_left(), 0.0)):
                reply = await self.model.stream(request, markers.put)
        except ProviderError as error:
            self.on_call(self.model.name, error.kind)
            raise
        except TimeoutError:
            self.on_call(self.model.name, "timeout")
            context.budget.spent = "seconds"
            context.writer.flush()
            return ModelReply(context.writer.text[before:], self.model.model, "length")
        finally:
            markers.end()
            context.dropped_markers += markers.dropped
        self.on_call(self.model.name, "ok")
        return reply

    async def _stand_in(self, state: State, context: RunContext, passages: tuple[Passage, ...]) -> ModelReply:
        found = state["retrieval"]
        sources = tuple(Source(passage.document, round(passage.score, 4)) for passage in passages)
        stage = "streaming" if passages else NO_RELEVANT_ANSWER
        context.writer.frame(
            Metadata(context.session_id, round(found.confidence, 4), self.extractive.model, sources, stage)
        )
        return await self._extract(state, context, passages)

    async def _extract(self, state: State, context: RunContext, passages: tuple[Passage, ...]) -> ModelReply:
        return await self.extractive.stream(self._request(state, context, passages, ()), context.writer.put)

    async def _close(
        self, state: State, context: RunContext, passages: tuple[Passage, ...], reply: ModelReply
    ) -> ModelReply:
        """End an answer that a budget cut: say what was found where nothing is said yet, then say that it was cut."""
        if not context.writer.has_text:
            reply = await self._extract(state, context, passages)
        self._note(context)
        return replace(reply, tool_calls=())

    def _note(self, context: RunContext) -> None:
        note = BUDGET_NOTES[context.budget.spent or "seconds"]
        context.writer.put(f"\n\n({note})" if context.writer.has_text else f"({note})")

    def _request(
        self, state: State, context: RunContext, passages: tuple[Passage, ...], tools: Sequence[ToolSpec]
    ) -> ModelRequest:
        exchange = state["exchange"]
        shown = state["retrieval"].passages  # what tools found later is in the exchange, under its numbers
        return ModelRequest(
            messages=render_messages(context.question, shown, state["history"], exchange),
            question=context.question,
            passages=passages,
            tools=tuple(tools),
            max_tokens=self.max_tokens,
        )
