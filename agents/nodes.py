"""The graph's nodes: small factories closing over what they need. Decisions are in `policies`."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from langgraph.graph import END
from langgraph.runtime import Runtime
from langgraph.types import Command

from agents import policies
from agents.events import NO_RELEVANT_ANSWER, Metadata, Source, Step
from agents.generation import Generation
from agents.links import OUR_NOTES
from agents.prompts import BUDGET_NOTES
from agents.state import Outcome, RunContext, State
from infrastructure.passages import Passage
from infrastructure.providers.extractive import NO_ANSWER
from services.knowledge.curated import CuratedMatch
from services.knowledge.grounding import Citation, Grounding
from services.knowledge.search import Retrieval

Node = Callable[[State, Runtime[RunContext]], Awaitable[State | Command[Any]]]
Find = Callable[[RunContext], Awaitable[Retrieval]]
Ground = Callable[[str, Sequence[Passage]], Grounding]


class Check(Protocol):
    """Holds citations against the documents as they are now."""

    def mark(self) -> int:
        """How far the knowledge has come: before passages are looked for."""

    async def check(self, citations: Sequence[Citation], since: int) -> list[Citation]:
        """Those that stand where they say, or whose place could be put right."""


class Known(Protocol):
    """Answers that were given before."""

    async def answer(self, context: RunContext) -> Outcome | None:
        """Say what is known of the run's question; None where nothing is."""

    def keep(self, outcome: Outcome, state: State, context: RunContext) -> None:
        """Keep what a run came to, if it is worth it."""


CURATED_MODEL = "curated"


def recall(max_tokens: int) -> Node:
    """Take the newest part of the conversation that fits."""

    async def node(state: State, runtime: Runtime[RunContext]) -> State:
        return {"history": policies.trim_history(runtime.context.turns, max_tokens)}

    return node


def retrieve(find: Find, mark: Callable[[], int], curated_threshold: float, known: Known | None = None) -> Node:
    """Find passages for the question, and say who answers it; or end with what is `known`."""

    async def node(state: State, runtime: Runtime[RunContext]) -> Command[Any]:
        context = runtime.context
        if known is not None and (outcome := await known.answer(context)) is not None:
            said: State = {"outcome": outcome}
            return Command(update=said, goto=END)
        context.writer.frame(Step("retrieve", "started"))
        context.knowledge_mark = mark()
        found = await find(context)
        context.writer.frame(Step("retrieve", "finished", f"{len(found.passages)} passages"))
        update: State = {"retrieval": found, "passages": found.passages}
        return Command(update=update, goto=policies.after_retrieve(found, curated_threshold))

    return node


def curated(generation: Generation) -> Node:
    """Say a curated answer as it stands, but for pictures that a page would load from elsewhere."""

    async def node(state: State, runtime: Runtime[RunContext]) -> State:
        match = state["retrieval"].curated
        assert match is not None, "only a match leads here"  # noqa: S101  the edge's decision has seen it
        say_metadata(runtime.context, (match.passage,), match.similarity, CURATED_MODEL, "streaming")
        generation.say(match.answer, runtime.context)
        return {"curated": match}

    return node


def generate(generation: Generation, threshold: float) -> Node:
    """Have the model answer, or ask for tools."""

    async def node(state: State, runtime: Runtime[RunContext]) -> Command[Any]:
        context, retrieval = runtime.context, state["retrieval"]
        supported = retrieval.confidence >= threshold
        whole = policies.answers_from_whole(
            retrieval, rag_mode=context.rag_mode, chosen=context.chosen, model=generation.model_of(context).name
        )
        declines = "reply" not in state and policies.declines(context.persona.answers, supported or whole)
        if "reply" not in state:
            model = generation.extractive if declines else generation.model_of(context)
            stage = "streaming" if supported or model.name != "extractive" else NO_RELEVANT_ANSWER
            passages = () if declines else state["passages"]
            say_metadata(context, passages, retrieval.confidence, model.model, stage)
        reply = await (generation.decline(state, context) if declines else generation.next(state, context, supported))
        return Command(update={"reply": reply}, goto=policies.after_generate(reply.tool_calls))

    return node


def use_tools(generation: Generation) -> Node:
    """Run what the model asked for, or tell it that the budget is used up."""

    async def node(state: State, runtime: Runtime[RunContext]) -> State:
        return await generation.tools.use(state, runtime.context)

    return node


def ground_answer(ground: Ground, check: Check, threshold: float, known: Known | None = None) -> Node:
    """Check every citation against the text that it names, and set the confidence."""

    async def node(state: State, runtime: Runtime[RunContext]) -> State:
        context = runtime.context
        context.writer.flush()
        if (match := state.get("curated")) is not None:
            outcome = curated_outcome(match, context.writer.text)
        else:
            outcome = grounded_outcome(state, context.writer.text, context, ground, threshold)
        outcome = await checked(outcome, check, context.knowledge_mark)
        if known is not None:
            known.keep(outcome, state, context)
        return {"outcome": outcome}

    return node


async def checked(outcome: Outcome, check: Check, since: int) -> Outcome:
    """The outcome with the citations that hold. Without all of them it is not grounded any more."""
    if not outcome.citations:
        return outcome
    held = await check.check(outcome.citations, since)
    lost = len(outcome.citations) - len(held)
    return replace(
        outcome, citations=tuple(held), grounded=outcome.grounded and not lost,
        rejected_markers=outcome.rejected_markers + lost,
    )  # fmt: skip


def curated_outcome(match: CuratedMatch, said: str) -> Outcome:
    passage = match.passage
    citation = Citation(
        id=1, document=passage.document, document_id=passage.document_id, chunk_id=passage.chunk_id, page=passage.page,
        section=passage.section, start=match.answer_start, end=match.answer_end, quote=match.answer,
        score=round(match.similarity, 4),
    )  # fmt: skip
    return Outcome(said, round(match.similarity, 4), True, True, (citation,), CURATED_MODEL, "stop", policies.NO_USAGE)


def grounded_outcome(state: State, answer: str, context: RunContext, ground: Ground, threshold: float) -> Outcome:
    reply, found = state["reply"], state["retrieval"].confidence
    usage = context.budget.usage
    finish = f"budget_{context.budget.spent}" if context.budget.spent else reply.finish_reason
    if answer.startswith(NO_ANSWER):
        return Outcome(answer, round(min(found, threshold), 4), False, False, (), reply.model, finish, usage)
    note = BUDGET_NOTES[context.budget.spent] if context.budget.spent else ""  # our own words claim nothing
    grounding = ground(OUR_NOTES.sub("", answer.removesuffix(f"({note})")), state["passages"])
    confidence = policies.final_confidence(found, grounding.grounded)
    return Outcome(
        answer, confidence, grounding.grounded, True, tuple(grounding.citations), reply.model, finish, usage,
        rejected_markers=grounding.rejected + context.dropped_markers,
    )  # fmt: skip


def say_metadata(context: RunContext, passages: tuple[Passage, ...], confidence: float, model: str, stage: str) -> None:
    """Tell what is known before the first word; the words that follow carry this confidence."""
    rounded = round(confidence, 4)
    sources = tuple(Source(passage.document, round(passage.score, 4)) for passage in passages)
    context.writer.confidence(rounded)
    context.writer.frame(Metadata(context.session_id, rounded, model, sources, stage))
