"""One question to PostgreSQL: what it is asked for, and what is made of its answer."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infrastructure.database.repositories.search import (
    Asked,
    FoundChunk,
    FoundQuestion,
    Look,
    SearchRepository,
    Within,
)
from infrastructure.lexical.tantivy import MAX_QUERY_TERMS
from infrastructure.vectors.pgvector import halfvec_text, halfvec_vectors, sparsevec_text, tsquery_text
from services.knowledge.bm25 import alternatives, rarity
from services.knowledge.curated import VECTOR_SHARE, similarity
from services.knowledge.fusion import BM25_SATURATION, VECTOR_WEIGHT, Candidate
from services.knowledge.records import ChunkRecord
from services.knowledge.retrieval import LEAST_POOL, Placed, Ranking
from services.knowledge.search_entries import mark, plain_key
from services.knowledge.text import TextAnalysis, WeighedQuestion

Vectors = npt.NDArray[np.float32]

EXACT_CHUNKS = 4000
"""Partitions of up to so many chunks in all are read as a whole, which takes some microseconds a chunk."""
MATCHED_CHUNKS = 2000  # candidates by words that are scored
_CURATED_LOOKED_AT = 5


@dataclass(frozen=True, slots=True)
class Half:
    """A search as far as it goes without texts. `questions` are the curated ones nearest to the question."""

    asked: "PostgresRanking"
    look: Look
    question: WeighedQuestion
    found: Sequence[FoundChunk]
    questions: Sequence[FoundQuestion]

    def rows(self) -> list[int]:
        """The rows whose records are needed."""
        return list(dict.fromkeys([one.row for one in self.found] + [one.row for one in self.questions]))

    def close(self, records: Mapping[int, ChunkRecord], threshold: float) -> list[tuple[ChunkRecord, FoundQuestion]]:
        """The curated entries that can be close enough; the very same question alone if there is one."""
        known = [(records[one.row], one) for one in self.questions if one.row in records]
        if same := [pair for pair in known if pair[1].same]:
            return same
        return [pair for pair in known if VECTOR_SHARE * pair[1].cosine + (1 - VECTOR_SHARE) >= threshold]

    def terms_of(self, curated: Sequence[tuple[ChunkRecord, FoundQuestion]]) -> list[str]:
        """The terms whose rarity `finished` needs."""
        found = [term for record, _ in curated for term in self.asked.analysis.terms(record.question or "")]
        return list(dict.fromkeys(found))

    def finished(
        self, curated: Sequence[tuple[ChunkRecord, FoundQuestion]], held: Mapping[str, int], threshold: float
    ) -> Ranking:
        """The ranking, for what takes it from there. `held`: how many chunks hold each of the terms of `curated`."""
        best = max(
            ((record, self._similarity(record, one, held)) for record, one in curated),
            key=lambda pair: pair[1],
            default=None,
        )
        if best and best[1] < threshold:
            best = None
        return Ranking(self.asked.query, self.question, self._pool(), best, self.asked.limit, self.asked.began)

    def _similarity(self, record: ChunkRecord, found: FoundQuestion, held: Mapping[str, int]) -> float:
        if found.same:
            return 1.0
        every = {**self.look.held, **held}
        size = chunks_of(self.look)
        asked, question = self.asked.query, record.question or ""
        return similarity(
            asked, question, found.cosine, self.asked.analysis, lambda term: rarity(size, every.get(term, 0))
        )

    def _pool(self) -> list[Placed]:
        if not self.found:
            return []
        possible = self.question.rarity * BM25_SATURATION or 1.0
        vectors = halfvec_vectors([one.embedding for one in self.found])
        return [
            Placed(Candidate(one.row, n, one.lexical / possible, one.cosine, one.fused), vector)
            for n, (one, vector) in enumerate(zip(self.found, vectors, strict=True))
        ]


@dataclass(frozen=True, slots=True)
class PostgresRanking:
    """A question: its analysed terms, each once, and its unit vector, zeros when there is none."""

    analysis: TextAnalysis
    query: str
    terms: tuple[str, ...]
    vector: Vectors
    limit: int
    began: float

    async def half(self, repository: SearchRepository, look: Look, only: Collection[str] | None) -> Half:
        """Ask PostgreSQL. With `only` no other documents are looked at."""
        size = chunks_of(look)
        question = self.analysis.weigh(self.query, lambda term: rarity(size, look.held.get(term, 0)))
        within = await self._within(repository, look, only)
        near: list[FoundQuestion] = []
        vector = halfvec_text(self.vector)
        if any(one.questions for one in look.partitions.values()):
            partitions = list(look.partitions)
            near = await repository.questions(partitions, only, vector, plain_key(self.query))
        nearness = {one.row: one.cosine for one in reversed(near) if not one.same}
        found = await repository.best(self._asked(look, question, within, vector), within, nearness)
        return Half(self, look, question, found, _closest(near))

    def _asked(self, look: Look, question: WeighedQuestion, within: Within, vector: str) -> Asked:
        size = chunks_of(look)
        held = {term: look.held.get(term, 0) for term in self.terms[:MAX_QUERY_TERMS]}
        holding = alternatives(held, size, MATCHED_CHUNKS) if within.indexed else []
        possible = question.rarity * BM25_SATURATION
        return Asked(
            words=sparsevec_text({term: rarity(size, count) for term, count in held.items() if count}),
            vector=vector,
            by_vector=bool(self.vector.any()),
            holding=tsquery_text(holding, [mark(name) for name in within.indexed]) if holding else None,
            share=VECTOR_WEIGHT,
            per_score=1 / possible if possible else 0.0,
            size=max(LEAST_POOL, 2 * self.limit),
            matched=2 * MATCHED_CHUNKS,
        )

    async def _within(self, repository: SearchRepository, look: Look, only: Collection[str] | None) -> Within:
        """Little is read as a whole, the rest is looked up in indexes."""
        names = list(look.partitions)
        if only is not None:
            few = await repository.count(names, only, EXACT_CHUNKS + 1) <= EXACT_CHUNKS
            return Within(names, (), only) if few else Within((), names, only)
        exact, left = [], EXACT_CHUNKS
        for name in sorted(names, key=lambda name: look.partitions[name].chunks):
            if look.partitions[name].chunks <= left:
                left -= look.partitions[name].chunks
                exact.append(name)
        return Within(exact, [name for name in names if name not in exact], None)


def chunks_of(look: Look) -> int:
    """How many chunks all partitions have together."""
    return sum(size.chunks for size in look.partitions.values())


def _closest(near: Sequence[FoundQuestion]) -> list[FoundQuestion]:
    """Of the questions nearest to a vector the few that are looked at more closely, and the very same one."""
    same = [one for one in near if one.same]
    others = sorted((one for one in near if not one.same), key=lambda one: -one.cosine)
    return same + others[:_CURATED_LOOKED_AT]
