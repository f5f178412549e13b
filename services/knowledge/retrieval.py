"""Retrieval over the knowledge as it is at one moment: pure computation, for a thread."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from infrastructure.passages import Passage
from infrastructure.vectors.numpy import VectorSnapshot
from services.knowledge.confidence import Calibration, Found, Signals, probability, signals
from services.knowledge.curated import CuratedMatch, curated_match
from services.knowledge.fusion import (
    ADJACENCY_WEIGHT,
    BM25_SATURATION,
    HIGHEST,
    Candidate,
    all_cosines,
    candidates,
    near_candidates,
    near_pairs,
)
from services.knowledge.passages import to_passage
from services.knowledge.records import ChunkRecord
from services.knowledge.snapshot import Snapshot, View
from services.knowledge.text import AnalysedText, TextAnalysis, WeighedQuestion

MAX_QUERY_CHARS = 4000
LEXICAL_HITS = 64
LEAST_POOL = 16  # candidates that are looked at more closely, whatever the limit
_NEAR_COSINE = 0.97  # cheap gates: copies have nearly the same vectors and scores; then terms decide
_NEAR_SCORE = 0.05
_NEAR_TERMS = 0.9


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What the knowledge has for a question. `confidence` is the probability in (0, 1) that it supports an answer."""

    passages: tuple[Passage, ...]  # best first
    confidence: float
    curated: CuratedMatch | None
    took_ms: float
    signals: Signals  # what the confidence is made of
    whole: bool = False  # whole documents, read because they were chosen or asked for, are among the passages


class Placed(NamedTuple):
    """A candidate and its vector, shape (d,)."""

    candidate: Candidate
    vector: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Ranking:
    """A search half done: what is left needs the candidates' texts. `curated` is the closest curated question, if one
    is close enough, and how close it is."""

    query: str
    question: WeighedQuestion
    pool: list[Placed]
    curated: tuple[ChunkRecord, float] | None
    limit: int
    began: float

    def rows(self) -> list[int]:
        return [one.candidate.row for one in self.pool]


class _Ranked(NamedTuple):
    record: ChunkRecord
    placed: Placed
    text: AnalysedText
    score: float


class Retriever:
    """Ranks the chunks of a view. Keeps nothing but the analysis of texts; may be used by several threads."""

    def __init__(self, analysis: TextAnalysis, curated_threshold: float, fit: Calibration | None = None) -> None:
        self._analysis = analysis
        self._fit = fit
        self._curated_threshold = curated_threshold

    def rank(
        self,
        view: View,
        query: str,
        vector: npt.NDArray[np.float32],
        limit: int,
        only: frozenset[str] | None = None,
    ) -> Ranking:
        """Find the candidates for `query`, whose unit vector is `vector`: by BM25 and by vectors, fused. With `only` no
        other documents are looked at."""
        began = time.perf_counter()
        question = self._analysis.weigh(query, view.idf)
        size = max(LEAST_POOL, 2 * limit)
        pool = [one for part in view.parts for one in _of_part(view, part, question, vector, size, only)]
        if len(view.parts) > 1:
            pool = sorted(pool, key=lambda one: -one.candidate.fused)[:size]
        return Ranking(query, question, pool, self._curated(view, query, vector, only), limit, began)

    def finish(self, ranking: Ranking, records: Mapping[int, ChunkRecord]) -> Retrieval:
        """Order the candidates by their texts too, drop doubles, and judge what is there. Candidates that have no
        record are gone from the knowledge and left out.
        """
        ranked = _without_doubles(self._reranked(ranking, records))[: ranking.limit]
        found = [
            Found(one.text, self._heading(one.record), one.placed.candidate.lexical, one.placed.candidate.cosine)
            for one in ranked
        ]
        evidence = signals(ranking.question, found)
        return Retrieval(
            passages=tuple(to_passage(one.record, min(one.score / HIGHEST, 1.0)) for one in ranked),
            confidence=probability(evidence, self._fit),
            curated=curated_match(*ranking.curated) if ranking.curated else None,
            took_ms=(time.perf_counter() - ranking.began) * 1000,
            signals=evidence,
        )

    def _reranked(self, ranking: Ranking, records: Mapping[int, ChunkRecord]) -> list[_Ranked]:
        """Best first; of chunks of the very same text only the one that both rankings put highest."""
        ranked, seen = [], set()
        for one in ranking.pool:
            record = records.get(one.candidate.row)
            if record and record.text not in seen:
                seen.add(record.text)
                text = self._analysis.of(record.text)
                score = one.candidate.fused + ADJACENCY_WEIGHT * ranking.question.adjacency(text.terms)
                ranked.append(_Ranked(record, one, text, score))
        return sorted(ranked, key=lambda one: -one.score)

    def _heading(self, record: ChunkRecord) -> str:
        return self._analysis.heading(f"{record.title} {record.section or ''}")

    def _curated(
        self, view: View, query: str, vector: npt.NDArray[np.float32], only: frozenset[str] | None
    ) -> tuple[ChunkRecord, float] | None:
        """The closest curated question, if it is close enough."""
        best: tuple[ChunkRecord, float] | None = None
        for part in view.parts:
            questions = part.curated_of(only)
            closest = questions.closest(query, vector, self._analysis, view.idf, self._curated_threshold)
            if closest and closest[1] >= self._curated_threshold and (best is None or closest[1] > best[1]):
                best = closest
        return best


def _of_part(
    view: View,
    part: Snapshot,
    question: WeighedQuestion,
    vector: npt.NDArray[np.float32],
    size: int,
    only: frozenset[str] | None,
) -> list[Placed]:
    """The candidates of one partition."""
    if only is not None and not (only := part.rows_of.among(only)):
        return []
    hits = part.lexical.search(question.terms, max(LEXICAL_HITS, size), view.boosts(part, question.terms), only)
    within = None if only is None else part.within(only)
    possible, vectors = question.rarity * BM25_SATURATION, part.vectors
    if isinstance(vectors, VectorSnapshot):
        found = candidates(vectors, all_cosines(vectors, part.curated, vector), hits, possible, size, within)
        return [Placed(one, vectors.vectors[one.position]) for one in found]
    found = near_candidates(vectors, part.curated_of(only), vector, hits, possible, size, within)
    places = np.array([one.position for one in found], np.int64)
    return [Placed(*both) for both in zip(found, vectors.vectors_at(places), strict=True)]


def _without_doubles(ranked: list[_Ranked]) -> list[_Ranked]:
    """Drop a chunk that says in nearly the same words what a better one says, as copies of a document do."""
    if len(ranked) < 2:
        return ranked
    dropped: set[int] = set()
    for better, worse in near_pairs(np.stack([one.placed.vector for one in ranked]), _NEAR_COSINE):
        close = ranked[better].score - ranked[worse].score < _NEAR_SCORE
        if close and better not in dropped and _alike(ranked[better].text, ranked[worse].text):
            dropped.add(worse)
    return [one for n, one in enumerate(ranked) if n not in dropped]


def _alike(left: AnalysedText, right: AnalysedText) -> bool:
    if min(len(left.terms), len(right.terms)) < _NEAR_TERMS * max(len(left.terms), len(right.terms)):
        return False
    mine, other = set(left.terms.split()), set(right.terms.split())
    return len(mine & other) >= _NEAR_TERMS * len(mine | other)
