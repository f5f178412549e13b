"""Retrieval over one snapshot of the knowledge: pure computation, for a thread."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from infrastructure.lexical.tantivy import LexicalSnapshot
from infrastructure.passages import Passage
from infrastructure.vectors.numpy import VectorSnapshot, inner_products
from services.embeddings import Embedder
from services.knowledge.confidence import Found, Signals, probability, signals
from services.knowledge.curated import CuratedMatch, CuratedQuestions, curated_match
from services.knowledge.fusion import ADJACENCY_WEIGHT, BM25_SATURATION, HIGHEST, Candidate, candidates, near_pairs
from services.knowledge.passages import to_passage
from services.knowledge.records import ChunkRecord
from services.knowledge.text import AnalysedText, TextAnalysis, WeighedQuestion

MAX_QUERY_CHARS = 4000
_LEXICAL_HITS = 64
_LEAST_POOL = 16  # candidates that are looked at more closely, whatever the limit
_NEAR_COSINE = 0.97  # cheap gates: copies have nearly the same vectors and scores; then terms decide
_NEAR_SCORE = 0.05
_NEAR_TERMS = 0.9
_KEPT_RARITIES = 20_000  # terms


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What the knowledge has for a question. `confidence` is the probability in (0, 1) that it supports an answer."""

    passages: tuple[Passage, ...]  # best first
    confidence: float
    curated: CuratedMatch | None
    took_ms: float
    signals: Signals  # what the confidence is made of


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The knowledge as it was after one change."""

    lexical: LexicalSnapshot
    vectors: VectorSnapshot
    curated: CuratedQuestions
    _rarities: dict[str, float] = field(default_factory=dict)  # what `idf` gave before

    def cosines(self, vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """How close each chunk is to a question's unit vector: a curated entry as its own question is, if closer."""
        cosines = self.vectors.scores(vector)
        places = self.vectors.positions(self.curated.rows)
        cosines[places] = np.maximum(cosines[places], inner_products(self.curated.vectors, vector))
        return cosines

    def idf(self, term: str) -> float:
        """BM25's inverse document frequency (Robertson and Spärck Jones, plus one): ln(1 + (N - n + ½) / (n + ½))."""
        known = self._rarities.get(term)
        if known is None:
            held = self.lexical.document_frequency(term)
            known = math.log1p((max(self.lexical.size - held, 0) + 0.5) / (held + 0.5))
            if len(self._rarities) < _KEPT_RARITIES:
                self._rarities[term] = known
        return known


@dataclass(frozen=True, slots=True)
class Ranking:
    """A search half done: what is left needs the candidates' texts."""

    snapshot: Snapshot
    query: str
    question: WeighedQuestion
    vector: npt.NDArray[np.float32]
    pool: list[Candidate]
    limit: int
    began: float

    def rows(self) -> list[int]:
        return [one.row for one in self.pool]


class _Ranked(NamedTuple):
    record: ChunkRecord
    candidate: Candidate
    text: AnalysedText
    score: float


class Retriever:
    """Ranks the chunks of a snapshot. Keeps nothing but the analysis of texts; may be used by several threads."""

    def __init__(self, embedder: Embedder, analysis: TextAnalysis, curated_threshold: float) -> None:
        self._embedder = embedder
        self._analysis = analysis
        self._curated_threshold = curated_threshold

    def rank(self, snapshot: Snapshot, query: str, limit: int) -> Ranking:
        """Find the candidates for `query`: by BM25 and by vectors, fused."""
        began = time.perf_counter()
        query = query[:MAX_QUERY_CHARS]
        question = self._analysis.weigh(query, snapshot.idf)
        vector = self._embedder.embed([query])[0]
        size = max(_LEAST_POOL, 2 * limit)
        hits = snapshot.lexical.search(question.terms, max(_LEXICAL_HITS, size))
        pool = candidates(snapshot.vectors, snapshot.cosines(vector), hits, question.rarity * BM25_SATURATION, size)
        return Ranking(snapshot, query, question, vector, pool, limit, began)

    def finish(self, ranking: Ranking, records: Mapping[int, ChunkRecord]) -> Retrieval:
        """Order the candidates by their texts too, drop doubles, and judge what is there. Candidates that have no
        record are gone from the knowledge and left out.
        """
        ranked = self._without_doubles(ranking, self._reranked(ranking, records))[: ranking.limit]
        found = [
            Found(one.text, self._heading(one.record), one.candidate.lexical, one.candidate.cosine) for one in ranked
        ]
        evidence = signals(ranking.question, found)
        return Retrieval(
            passages=tuple(to_passage(one.record, min(one.score / HIGHEST, 1.0)) for one in ranked),
            confidence=probability(evidence),
            curated=self._curated(ranking),
            took_ms=(time.perf_counter() - ranking.began) * 1000,
            signals=evidence,
        )

    def _reranked(self, ranking: Ranking, records: Mapping[int, ChunkRecord]) -> list[_Ranked]:
        """Best first; of chunks of the very same text only the one that both rankings put highest."""
        ranked, seen = [], set()
        for one in ranking.pool:
            record = records.get(one.row)
            if record and record.text not in seen:
                seen.add(record.text)
                text = self._analysis.of(record.text)
                score = one.fused + ADJACENCY_WEIGHT * ranking.question.adjacency(text.terms)
                ranked.append(_Ranked(record, one, text, score))
        return sorted(ranked, key=lambda one: -one.score)

    def _without_doubles(self, ranking: Ranking, ranked: list[_Ranked]) -> list[_Ranked]:
        """Drop a chunk that says in nearly the same words what a better one says, as copies of a document do."""
        vectors = ranking.snapshot.vectors.vectors[[one.candidate.position for one in ranked]]
        dropped: set[int] = set()
        for better, worse in near_pairs(vectors, _NEAR_COSINE):
            close = ranked[better].score - ranked[worse].score < _NEAR_SCORE
            if close and better not in dropped and _alike(ranked[better].text, ranked[worse].text):
                dropped.add(worse)
        return [one for n, one in enumerate(ranked) if n not in dropped]

    def _heading(self, record: ChunkRecord) -> str:
        return self._analysis.heading(f"{record.title} {record.section or ''}")

    def _curated(self, ranking: Ranking) -> CuratedMatch | None:
        """The closest curated question, if it is close enough."""
        snapshot = ranking.snapshot
        closest = snapshot.curated.closest(
            ranking.query, ranking.vector, self._analysis, snapshot.idf, self._curated_threshold
        )
        if closest is None or closest[1] < self._curated_threshold:
            return None
        return curated_match(*closest)


def _alike(left: AnalysedText, right: AnalysedText) -> bool:
    if min(len(left.terms), len(right.terms)) < _NEAR_TERMS * max(len(left.terms), len(right.terms)):
        return False
    mine, other = set(left.terms.split()), set(right.terms.split())
    return len(mine & other) >= _NEAR_TERMS * len(mine | other)
