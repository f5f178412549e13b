"""The knowledge as one search sees it: partitions as they were after a change, and several of them looked at as one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from infrastructure.lexical.tantivy import LexicalSnapshot
from infrastructure.vectors.numpy import VectorSnapshot, inner_products
from services.knowledge.curated import CuratedQuestions

_KEPT_RARITIES = 20_000  # terms


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One partition as it was after one change. `rows_of` has the chunks' rows of each document, by its id."""

    lexical: LexicalSnapshot
    vectors: VectorSnapshot
    curated: CuratedQuestions
    rows_of: Mapping[str, npt.NDArray[np.int64]] = field(default_factory=dict)

    def cosines(self, vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """How close each chunk is to a question's unit vector: a curated entry as its own question is, if closer."""
        cosines = self.vectors.scores(vector)
        places = self.vectors.positions(self.curated.rows)
        cosines[places] = np.maximum(cosines[places], inner_products(self.curated.vectors, vector))
        return cosines

    def curated_of(self, documents: frozenset[str] | None) -> CuratedQuestions:
        """The curated questions; with `documents` those of these only."""
        if documents is None or not self.curated.records:
            return self.curated
        kept = [n for n, record in enumerate(self.curated.records) if record.document_id in documents]
        return CuratedQuestions.of([self.curated.records[n] for n in kept], self.curated.vectors[kept])

    def outside(self, documents: frozenset[str]) -> npt.NDArray[np.bool_]:
        """Which chunks, in the order of `vectors`, are of none of `documents`."""
        outside = np.ones(self.vectors.size, np.bool_)
        rows = [self.rows_of[document] for document in documents if document in self.rows_of]
        if rows:
            outside[self.vectors.positions(np.concatenate(rows))] = False
        return outside


class View:
    """Some partitions, seen as one knowledge: a term is as rare as it is in all of them together."""

    def __init__(self, parts: Sequence[Snapshot]) -> None:
        self.parts = tuple(parts)
        self.size = sum(part.vectors.size for part in self.parts)
        self._documents = sum(part.lexical.size for part in self.parts)
        self._rarities: dict[str, float] = {}  # what `idf` gave before

    def idf(self, term: str) -> float:
        """BM25's inverse document frequency (Robertson and Spärck Jones, plus one): ln(1 + (N - n + ½) / (n + ½))."""
        known = self._rarities.get(term)
        if known is None:
            known = _idf(self._documents, sum(part.lexical.document_frequency(term) for part in self.parts))
            if len(self._rarities) < _KEPT_RARITIES:
                self._rarities[term] = known
        return known

    def boosts(self, part: Snapshot, terms: Sequence[str]) -> Sequence[float] | None:
        """What the BM25 of `part` alone gives to each term, put right to the rarity of the whole; None: it is right."""
        if len(self.parts) == 1:
            return None
        size = part.lexical.size
        return [self.idf(term) / _idf(size, part.lexical.document_frequency(term)) for term in terms]


def _idf(size: int, held: int) -> float:
    return math.log1p((max(size - held, 0) + 0.5) / (held + 0.5))
