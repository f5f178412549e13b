"""Finding what a question is answered from: passages, or whole files where these were asked for."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from agents.policies import chosen_documents, standalone_question
from agents.state import RunContext
from infrastructure.passages import Passage
from services.knowledge.scope import Scope
from services.knowledge.search import Retrieval

Search = Callable[[str, int, Scope], Awaitable[Retrieval]]
RagMode = Literal["auto", "hybrid", "full_file"]


class ReadWhole(Protocol):
    """Whole documents as passages, in order."""

    async def __call__(self, documents: Collection[str], max_chars: int) -> tuple[tuple[Passage, ...], bool]:
        """The passages that fit into `max_chars`, and whether that is all of the documents."""


@dataclass(frozen=True, slots=True)
class Finder:
    """Looks into the run's scope. With `reads_whole` the model can make use of whole files."""

    search: Search
    whole: ReadWhole
    limit: int
    max_whole_chars: int
    reads_whole: bool

    async def find(self, context: RunContext) -> Retrieval:
        """What there is for the run's question. A follow-up is also asked together with what it follows, and the
        better supported of the two counts.
        """
        found = await self.search(context.question, self.limit, context.scope)
        if (whole_question := standalone_question(context.question, context.turns)) is not None:
            other = await self.search(whole_question, self.limit, context.scope)
            found = other if other.confidence > found.confidence and found.curated is None else found
        documents = chosen_documents(context.scope) or context.scope.first
        if self._wants_whole(context, documents):
            return await self._with_whole(found, documents, context.rag_mode == "full_file")
        return found

    def _wants_whole(self, context: RunContext, documents: Collection[str]) -> bool:
        """Chosen files that fit are read whole by a model, unless passages were asked for."""
        if not documents or context.rag_mode == "hybrid":
            return False
        return context.rag_mode == "full_file" or (self.reads_whole and bool(chosen_documents(context.scope)))

    async def _with_whole(self, found: Retrieval, documents: Collection[str], partly: bool) -> Retrieval:
        passages, complete = await self.whole(documents, self.max_whole_chars)
        if not passages or not (complete or partly):
            return found
        known = {passage.chunk_id for passage in passages}
        scores = {passage.chunk_id: passage.score for passage in found.passages}
        scored = tuple(replace(one, score=scores.get(one.chunk_id, 0.0)) for one in passages)
        others = tuple(one for one in found.passages if one.chunk_id not in known)
        return replace(found, passages=scored + others, curated=None, whole=True)
