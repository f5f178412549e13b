"""Having a model answer within a budget, with its tools, and with what there is when the model is away."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import structlog

from agents.events import NO_RELEVANT_ANSWER, Metadata, Source
from agents.links import LinkFilter
from agents.markers import MarkerFilter
from agents.ports import Model
from agents.prompts import BUDGET_NOTES, render_messages
from agents.state import RunContext, State
from agents.toolbox import Toolbox
from agents.tracing import streamed
from infrastructure.errors import ProviderError
from infrastructure.passages import Passage
from infrastructure.providers.reply import estimated_usage
from infrastructure.providers.types import ModelReply, ModelRequest, ToolSpec
from services.link_policy import OWN_PATHS, LinkPolicy

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
    links: LinkPolicy = OWN_PATHS
    """Where links and pictures in an answer may lead."""

    def model_of(self, context: RunContext) -> Model:
        """What answers this question."""
        return context.model or self.model

    async def next(self, state: State, context: RunContext, supported: bool) -> ModelReply:
        """The model's next turn: text to the writer, or tool calls.

        Raises:
            ProviderError: the model failed and nothing stands in for it, or text had been said before.
        """
        model = self.model_of(context)
        usable = state["passages"] if supported or state["exchange"] else ()
        closing = context.budget.spent is not None
        offered = () if closing or model.name == "extractive" else self.tools.offered(context.tools)
        passages = usable if model.name == "extractive" else state["passages"]
        try:
            reply = await self._ask(model, self._request(state, context, passages, offered), context)
        except ProviderError as error:
            if not self.fall_back or model.name == "extractive" or context.writer.has_text:
                raise
            log.warning("model failed, answering from the knowledge", provider=model.name, kind=error.kind)
            return await self._stand_in(state, context, usable)
        context.budget.usage += reply.usage
        if context.budget.spent == "seconds" or (closing and reply.tool_calls):
            return await self._close(state, context, usable, reply)
        if closing:
            self._note(context)
        return reply

    def say(self, text: str, context: RunContext) -> None:
        """Say a text of the knowledge: where it links to, it may link to."""
        links = self._links(context, [text])
        links.put(text)
        links.end()

    async def decline(self, state: State, context: RunContext) -> ModelReply:
        """Say that nothing was found, without asking a model."""
        return await self._extract(state, context, ())

    async def _ask(self, model: Model, request: ModelRequest, context: RunContext) -> ModelReply:
        before = len(context.writer.text)
        links = self._links(context, [passage.text for passage in request.passages])
        markers = MarkerFilter(context.writer.put, len(request.passages), links)
        try:
            async with asyncio.timeout(max(context.budget.seconds_left(), 0.0)):
                reply = await streamed(context.trace, model, request, markers.put)
        except ProviderError as error:
            self.on_call(model.name, error.kind)
            if error.said:
                context.budget.usage += estimated_usage(request, context.writer.text[before:])
            raise
        except TimeoutError:
            self.on_call(model.name, "timeout")
            context.budget.spent = "seconds"
            context.writer.flush()
            text = context.writer.text[before:]
            return ModelReply(text, model.model, "length", usage=estimated_usage(request, text))
        except asyncio.CancelledError:  # who stops every answer pays for what was written all the same
            context.budget.usage += estimated_usage(request, context.writer.text[before:])
            raise
        finally:
            markers.end()
            context.dropped_markers += markers.dropped
        self.on_call(model.name, "ok")
        return reply

    async def _stand_in(self, state: State, context: RunContext, passages: tuple[Passage, ...]) -> ModelReply:
        stage = "streaming" if passages else NO_RELEVANT_ANSWER
        self._say(state, context, passages, self.extractive.model, stage)
        return await self._extract(state, context, passages)

    def _say(self, state: State, context: RunContext, passages: tuple[Passage, ...], model: str, stage: str) -> None:
        """Another model answers than was said."""
        context.stood_in = True
        confidence = round(state["retrieval"].confidence, 4)
        sources = tuple(Source(passage.document, round(passage.score, 4)) for passage in passages)
        context.writer.frame(Metadata(context.session_id, confidence, model, sources, stage))

    async def _extract(self, state: State, context: RunContext, passages: tuple[Passage, ...]) -> ModelReply:
        request = self._request(state, context, passages, ())
        links = self._links(context, [passage.text for passage in passages])
        try:
            return await streamed(context.trace, self.extractive, request, links.put)
        finally:
            links.end()

    def _links(self, context: RunContext, found: Sequence[str]) -> LinkFilter:
        """What an answer's text goes through. What was found and asked may be linked: it carries nothing away."""

        def known() -> Iterator[str]:
            yield context.question
            yield from (turn.question for turn in context.turns)
            yield from found

        return LinkFilter(context.writer.put, context.writer.said, self.links, known)

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
            messages=render_messages(
                context.question,
                shown,
                state["history"],
                exchange,
                instructions=context.persona.prompt,
                wishes=context.wishes,
                summary=context.summary,
            ),
            question=context.question,
            passages=passages,
            tools=tuple(tools),
            max_tokens=min((most for most in (context.max_tokens, self.max_tokens) if most is not None), default=None),
            temperature=context.temperature,
            stop=context.stop,
            options=context.options,
            caller=context.caller,
            until=context.budget.deadline,
            may_fall_back=not context.writer.has_text,
            taken_over=lambda _, model: self._say(state, context, passages, model, "streaming"),
        )
