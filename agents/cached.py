"""Answers given before, said again: the step before retrieval that spares the search and the model."""

from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import orjson

from agents.events import Metadata, Source, Step
from agents.generation import Generation
from agents.nodes import Check
from agents.policies import NO_USAGE, is_first_said, worth_repeating
from agents.state import Outcome, RunContext, State
from infrastructure.providers.types import Message
from services.answer_cache import AnswerCache, KnownAnswer, Place
from services.knowledge.grounding import Citation
from services.knowledge.scope import SHARED_SCOPE
from services.same_question import read_question

STEP = "answer_cache"
KNOWLEDGE_TOOLS = frozenset(["search_knowledge_base", "read_knowledge_file"])
"""What they say depends on nothing but the knowledge that the version is of."""
FAILED = "The tool failed: "  # as a model is told

Version = Callable[[Sequence[str]], Awaitable[Hashable | None]]


@dataclass(frozen=True, slots=True)
class CachedAnswers:
    """Looks for answers, and keeps them. `version` is that of the knowledge in some partitions (None: nothing can be
    said), `embedding_model` names what it is searched with.
    """

    cache: AnswerCache
    version: Version
    embedding_model: Callable[[], str]
    generation: Generation
    check: Check

    async def answer(self, context: RunContext) -> Outcome | None:
        """Say what is known of the run's question, and give what the run comes to; None where nothing is.

        Then `context.place` says where the run's own answer is to be kept, if it may be.
        """
        context.place = place = await self._place(context)
        if place is None or context.anew or (known := await self.cache.get(place)) is None:
            return None
        held = await self.check.check(known.citations, known.mark)
        if len(held) < len(known.citations):
            self.cache.drop(place)
            return None
        return _said(known, held, context)

    def keep(self, outcome: Outcome, state: State, context: RunContext) -> None:
        """Keep what a run came to, where it is the chosen model's own and worth being said again."""
        if context.place is None or context.stood_in or "reply" not in state:
            return
        worth = worth_repeating(
            supported=outcome.supported,
            grounded=outcome.grounded,
            finish_reason=outcome.finish_reason,
            rejected=outcome.rejected_markers,
        )
        if worth and of_knowledge_alone(state["exchange"]):
            self.cache.put(context.place, _known(outcome, state, context))

    async def _place(self, context: RunContext) -> Place | None:
        """Where an answer to the run's question belongs; None where it would be of no use to anybody else."""
        if not is_first_said(context.turns, context.summary, context.wishes):
            return None
        version = await self.version(context.scope.partitions)
        return None if version is None else Place(self._space(context), read_question(context.question), version)

    def _space(self, context: RunContext) -> bytes:
        """All that an answer depends on besides the question and the knowledge's version, as a digest.

        Where there is more to see than the shared knowledge, the caller is part of it: answers are nobody else's then.
        """
        scope, persona, model = context.scope, context.persona, self.generation.model_of(context)
        parts = (
            None if scope.partitions == SHARED_SCOPE.partitions else context.caller,
            scope.partitions, None if scope.only is None else sorted(scope.only), sorted(scope.first),
            persona.id, persona.prompt, persona.answers,
            sorted(spec.name for spec in self.generation.tools.offered(context.tools)),
            model.name, model.model, self.embedding_model(), list(self.generation.links.hosts),
            context.rag_mode, context.temperature, context.max_tokens, context.stop, context.options,
        )  # fmt: skip
        return blake2b(orjson.dumps(parts), digest_size=32).digest()


def of_knowledge_alone(exchange: Iterable[Message]) -> bool:
    """Whether the tools that were used, if any, looked into the knowledge, and all of them could."""
    for message in exchange:
        if any(call.name not in KNOWLEDGE_TOOLS for call in message.tool_calls):
            return False
        if message.role == "tool" and message.content.startswith(FAILED):
            return False
    return True


def _known(outcome: Outcome, state: State, context: RunContext) -> KnownAnswer:
    found = state["retrieval"]
    return KnownAnswer(
        outcome.answer,
        outcome.confidence,
        round(found.confidence, 4),
        outcome.citations,
        tuple((passage.document, round(passage.score, 4)) for passage in found.passages),
        outcome.model,
        context.knowledge_mark,
    )


def _said(known: KnownAnswer, citations: Sequence[Citation], context: RunContext) -> Outcome:
    sources = tuple(Source(document, score) for document, score in known.sources)
    writer = context.writer
    writer.confidence(known.found)
    writer.frame(Metadata(context.session_id, known.found, known.model, sources, "streaming"))
    writer.frame(Step(STEP, "finished"))
    writer.put(known.answer)
    writer.flush()
    return Outcome(
        known.answer, known.confidence, True, True, tuple(citations), known.model, "stop", NO_USAGE, cached=True
    )
