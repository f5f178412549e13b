"""The cache of answers, put together where it is wanted."""

import time

from agents.cached import CachedAnswers
from agents.generation import Generation
from agents.nodes import Check
from backend.assembly import AnySearch, Knowledge
from backend.settings import Settings
from infrastructure.monitoring import Metrics
from services.answer_cache import AnswerCache, Likeness
from services.knowledge.question_vectors import QuestionVectors
from services.knowledge.versions import KnowledgeVersions


def open_answers(
    settings: Settings, knowledge: Knowledge, generation: Generation, check: Check, metrics: Metrics
) -> CachedAnswers | None:
    """None where every answer is to be made anew."""
    if not settings.agent_cache_enabled:
        return None
    search = knowledge.search
    return CachedAnswers(
        AnswerCache(
            settings.agent_cache_seconds,
            _likeness(search),
            time.monotonic,
            lambda operation, result: metrics.cache_operations.labels(operation, result).inc(),
        ),
        KnowledgeVersions(knowledge.database, search).of,
        lambda: search.serving.embeddings.model,
        generation,
        check,
    )


def _likeness(search: AnySearch) -> Likeness:
    vectors = QuestionVectors()

    async def likeness(left: str, right: str) -> float:
        embeddings = search.serving.embeddings
        return float(await vectors.asked(embeddings, left) @ await vectors.asked(embeddings, right))

    return likeness
