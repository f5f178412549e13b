"""The knowledge as one search sees it: partitions as they were after a change, and several of them looked at as one."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from infrastructure.lexical.tantivy import LexicalSnapshot
from infrastructure.vectors.numpy import Rows
from infrastructure.vectors.sized import AnyVectors
from services.knowledge.bm25 import rarity
from services.knowledge.curated import CuratedQuestions
from services.knowledge.document_rows import DocumentRows

_KEPT_RARITIES = 20_000  # terms


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One partition as it was after one change."""

    lexical: LexicalSnapshot
    vectors: AnyVectors
    curated: CuratedQuestions
    rows_of: DocumentRows = field(default_factory=DocumentRows)

    def curated_of(self, documents: frozenset[str] | None) -> CuratedQuestions:
        """The curated questions; with `documents` those of these only."""
        if documents is None or not self.curated.records:
            return self.curated
        kept = [n for n, record in enumerate(self.curated.records) if record.document_id in documents]
        return CuratedQuestions.of([self.curated.records[n] for n in kept], self.curated.vectors[kept])

    def within(self, documents: frozenset[str]) -> Rows:
        """Where the chunks of `documents` stand in `vectors`."""
        places = self.vectors.positions(self.rows_of.rows(documents))
        return places[places >= 0]


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
            known = rarity(self._documents, sum(part.lexical.document_frequency(term) for part in self.parts))
            if len(self._rarities) < _KEPT_RARITIES:
                self._rarities[term] = known
        return known

    def boosts(self, part: Snapshot, terms: Sequence[str]) -> Sequence[float] | None:
        """What the BM25 of `part` alone gives to each term, put right to the rarity of the whole; None: it is right."""
        if len(self.parts) == 1:
            return None
        size = part.lexical.size
        return [self.idf(term) / rarity(size, part.lexical.document_frequency(term)) for term in terms]
