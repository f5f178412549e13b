"""The graph's nodes: small factories closing over what they need. Decisions are in `policies`."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langgraph.runtime import Runtime
from langgraph.types import Command

from agents import policies
from agents.events import NO_RELEVANT_ANSWER, Metadata, Source, Step
from agents.generation import Generation
from agents.prompts import BUDGET_NOTES
from agents.state import Outcome, RunContext, State
from infrastructure.passages import Passage
from infrastructure.providers.extractive import NO_ANSWER
from services.knowledge.curated import CuratedMatch
from services.knowledge.grounding import Citation, Grounding
from services.knowledge.search import Retrieval

Node = Callable[[State, Runtime[RunContext]], Awaitable[State | Command[Any]]]
Search = Callable[[str, int], Awaitable[Retrieval]]
Ground = Callable[[str, Sequence[Passage]], Grounding]
CURATED_MODEL = "curated"


def recall(max_tokens: int) -> Node:
    """Take the newest part of the conversation that fits."""

    async def node(state: State, runtime: Runtime[RunContext]) -> State:
        return {"history": policies.trim_history(runtime.context.turns, max_tokens)}

    return node


def retrieve(search: Search, limit: int, curated_threshold: float) -> Node:
    """Find passages for the question, and say who answers it."""

    async def node(state: State, runtime: Runtime[RunContext]) -> Command[Any]:
        context = runtime.context
        context.writer.frame(Step("retrieve", "started"))
        found = await search(context.question, limit)
        context.writer.frame(Step("retrieve", "finished", f"{len(found.passages)} passages"))
        update: State = {"retrieval": found, "passages": found.passages}
        return Command(update=update, goto=policies.after_retrieve(found, curated_threshold))

    return node


def curated() -> Node:
    """Say a curated answer as it stands."""

    async def node(state: State, runtime: Runtime[RunContext]) -> State:
        match = state["retrieval"].curated
        assert match is not None, "only a match leads here"  # noqa: S101  the edge's decision has seen it
        say_metadata(runtime.context, (match.passage,), match.similarity, CURATED_MODEL, "streaming")
        runtime.context.writer.put(match.answer)
        return {"curated": match}

    return node


def generate(generation: Generation, threshold: float) -> Node:
    """Have the model answer, or ask for tools."""

    async def node(state: State, runtime: Runtime[RunContext]) -> Command[Any]:
        context, retrieval = runtime.context, state["retrieval"]
        supported = retrieval.confidence >= threshold
        if "reply" not in state:
            model = generation.model
            stage = "streaming" if supported or model.name != "extractive" else NO_RELEVANT_ANSWER
            say_metadata(context, state["passages"], retrieval.confidence, model.model, stage)
        reply = await generation.next(state, context, supported)
        return Command(update={"reply": reply}, goto=policies.after_generate(reply.tool_calls))

    return node


def use_tools(generation: Generation) -> Node:
    """Run what the model asked for, or tell it that the budget is used up."""

    async def node(state: State, runtime: Runtime[RunContext]) -> State:
        return await generation.tools.use(state, runtime.context)

    return node


def ground_answer(ground: Ground, threshold: float) -> Node:
    """Check every citation against the text that it names, and set the confidence."""

    async def node(state: State, runtime: Runtime[RunContext]) -> State:
        writer = runtime.context.writer
        writer.flush()
        if (match := state.get("curated")) is not None:
            return {"outcome": curated_outcome(match)}
        return {"outcome": grounded_outcome(state, writer.text, runtime.context, ground, threshold)}

    return node


def curated_outcome(match: CuratedMatch) -> Outcome:
    passage = match.passage
    citation = Citation(
        id=1, document=passage.document, document_id=passage.document_id, chunk_id=passage.chunk_id, page=passage.page,
        section=passage.section, start=match.answer_start, end=match.answer_end, quote=match.answer,
        score=round(match.similarity, 4),
    )  # fmt: skip
    return Outcome(
        match.answer, round(match.similarity, 4), True, True, (citation,), CURATED_MODEL, "stop", policies.NO_USAGE
    )


def grounded_outcome(state: State, answer: str, context: RunContext, ground: Ground, threshold: float) -> Outcome:
    reply, found = state["reply"], state["retrieval"].confidence
    usage = context.budget.usage
    finish = f"budget_{context.budget.spent}" if context.budget.spent else reply.finish_reason
    if answer.startswith(NO_ANSWER):
        return Outcome(answer, round(min(found, threshold), 4), False, False, (), reply.model, finish, usage)
    note = BUDGET_NOTES[context.budget.spent] if context.budget.spent else ""  # our own words claim nothing
    grounding = ground(answer.removesuffix(f"({note})"), state["passages"])
    confidence = policies.final_confidence(found, grounding.grounded)
    return Outcome(
        answer, confidence, grounding.grounded, True, tuple(grounding.citations), reply.model, finish, usage,
        rejected_markers=grounding.rejected,
    )  # fmt: skip


def say_metadata(context: RunContext, passages: tuple[Passage, ...], confidence: float, model: str, stage: str) -> None:
    """Tell what is known before the first word; the words that follow carry this confidence."""
    rounded = round(confidence, 4)
    sources = tuple(Source(passage.document, round(passage.score, 4)) for passage in passages)
    context.writer.confidence(rounded)
    context.writer.frame(Metadata(context.session_id, rounded, model, sources, stage))
