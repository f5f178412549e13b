"""Curated questions: is what somebody asks one of those whose answer was written by hand?"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infrastructure.passages import Passage
from infrastructure.vectors.numpy import inner_products, top_positions
from services.knowledge.passages import to_passage
from services.knowledge.records import ChunkRecord
from services.knowledge.text import Idf, TextAnalysis, shared_weight

VECTOR_SHARE = 0.7
OTHER_NUMBERS = 0.5
_LOOKED_AT = 5


@dataclass(frozen=True, slots=True)
class CuratedMatch:
    """A curated question close to the one asked. `answer` is `[answer_start, answer_end)` of the document's text."""

    question: str
    answer: str
    similarity: float  # in [0, 1]; 1 is the same question
    passage: Passage
    answer_start: int
    answer_end: int


@dataclass(frozen=True, slots=True)
class CuratedQuestions:
    """The curated questions of the knowledge, with a unit vector for each: shape (n, d). Never changed once made."""

    records: tuple[ChunkRecord, ...]
    vectors: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int64]
    by_plain: dict[str, int]  # where a question stands, by its words alone

    @classmethod
    def of(cls, records: Sequence[ChunkRecord], vectors: npt.NDArray[np.float32]) -> "CuratedQuestions":
        rows = np.array([record.row for record in records], np.int64)
        by_plain = {plain(record.question or ""): n for n, record in enumerate(records)}
        return cls(tuple(records), vectors, rows, by_plain)

    def replace(
        self, removed: Iterable[int], added: Sequence[ChunkRecord], vectors: npt.NDArray[np.float32]
    ) -> "CuratedQuestions":
        """Without the rows of `removed`, and with `added`."""
        gone = {*removed, *(record.row for record in added)}
        kept = [n for n, record in enumerate(self.records) if record.row not in gone]
        records = (*(self.records[n] for n in kept), *added)
        return CuratedQuestions.of(records, np.concatenate([self.vectors[kept], vectors]))

    def closest(
        self, question: str, vector: npt.NDArray[np.float32], analysis: TextAnalysis, idf: Idf, at_least: float = 0.0
    ) -> tuple[ChunkRecord, float] | None:
        """The curated question most similar to `question`, whose unit vector is `vector`, and how similar it is.

        One that its cosine keeps below `at_least`, whatever its terms, is not looked at: most questions are like none.
        """
        if not self.records:
            return None
        if (same := self.by_plain.get(plain(question))) is not None:
            return self.records[same], 1.0
        cosines = inner_products(self.vectors, vector)
        if VECTOR_SHARE * float(cosines.max()) + (1 - VECTOR_SHARE) < at_least:
            return None
        best: tuple[ChunkRecord, float] | None = None
        for position in top_positions(cosines, _LOOKED_AT).tolist():
            if VECTOR_SHARE * float(cosines[position]) + (1 - VECTOR_SHARE) < at_least:
                break
            record = self.records[position]
            found = similarity(question, record.question or "", float(cosines[position]), analysis, idf)
            if best is None or found > best[1]:
                best = record, found
        return best


def similarity(asked: str, curated: str, cosine: float, analysis: TextAnalysis, idf: Idf) -> float:
    """How close two questions are, in [0, 1]: mostly by their vectors, else by the harmonic mean of the shares of each
    one's weighed terms that the other has too, so that "What is lending?" is far from "What is staking?". Questions
    about other numbers ("layer 1", "layer 2") are other questions.
    """
    if plain(asked) == plain(curated):
        return 1.0
    left, right = shared_weight(analysis.terms(asked), analysis.terms(curated), idf)
    agreement = 2 * left * right / (left + right) if left + right else 0.0
    close = VECTOR_SHARE * max(cosine, 0.0) + (1 - VECTOR_SHARE) * agreement
    return min(0.999, close) * (1.0 if _numbers(asked) == _numbers(curated) else OTHER_NUMBERS)


def curated_match(record: ChunkRecord, found: float) -> CuratedMatch:
    """The match that `record`, a curated entry, is; its answer is the part of its text that is marked as such."""
    start = record.start if record.answer_start is None else record.answer_start
    end = record.end if record.answer_end is None else record.answer_end
    return CuratedMatch(
        question=record.question or "",
        answer=record.text[start - record.start : end - record.start],
        similarity=found,
        passage=to_passage(record, found),
        answer_start=start,
        answer_end=end,
    )


def _numbers(question: str) -> set[str]:
    return set(re.findall(r"\d+", question))


def plain(question: str) -> str:
    """A question without what does not change it: case, punctuation and spacing."""
    return " ".join("".join(c if c.isalnum() else " " for c in question.casefold()).split())
