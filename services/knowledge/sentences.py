"""The sentences of the found passages that answer a question best."""

from collections.abc import Sequence
from dataclasses import dataclass

from infrastructure.passages import Passage
from services.knowledge.answer_type import AnswerType, answer_type, has_answer_of
from services.knowledge.text import Idf, TextAnalysis, WeighedQuestion

ADJACENCY_WEIGHT = 0.1
TYPE_WEIGHT = 0.2
BEFORE_WEIGHT = 0.2
PASSAGE_WEIGHT = 1.1
_PASSAGES = 3
"""Weights by `make eval`: each is worth about half a point of answers found in two sentences."""


@dataclass(frozen=True, slots=True)
class Extract:
    """A sentence of passage number `source` (from 1). `text` is `[start, end)` of the document's text."""

    source: int
    start: int
    end: int
    text: str
    score: float  # comparable within one question: about 1 for a sentence that has all of the question's words


class SentenceSelector:
    """Picks sentences by the question's terms, weighed by how rare they are in the knowledge."""

    def __init__(self, idf: Idf, analysis: TextAnalysis) -> None:
        self._idf = idf
        self._analysis = analysis

    def best_sentences(self, question: str, passages: Sequence[Passage], limit: int = 2) -> list[Extract]:
        """The best `limit` sentences of the first few passages, in reading order: by passage, then by place."""
        weighed = self._analysis.weigh(question, self._idf)
        kind = answer_type(question)
        found = [
            extract
            for number, passage in enumerate(passages[:_PASSAGES], 1)
            for extract in self._extracts(weighed, kind, number, passage)
        ]
        chosen: list[tuple[Extract, Passage]] = []
        for extract in sorted(found, key=lambda one: -one.score):
            passage = passages[extract.source - 1]
            if len(chosen) < limit and not any(_same_place(extract, passage, *other) for other in chosen):
                chosen.append((extract, passage))
        return sorted((extract for extract, _ in chosen), key=lambda one: (one.source, one.start))

    def _extracts(
        self, question: WeighedQuestion, kind: AnswerType | None, number: int, passage: Passage
    ) -> list[Extract]:
        """The sentences of a passage that could be an answer, scored. One that follows a good one gets some of its
        score: it often goes on about the same thing with a pronoun. One that has nothing of the question, and follows
        none that has, is left out; so is one that asks.
        """
        analysed = self._analysis.of(passage.text)
        extracts = []
        before = 0.0
        for (start, end), terms in zip(analysed.spans, analysed.lines(), strict=True):
            text = passage.text[start:end]
            covered = question.coverage(terms)
            score = covered + BEFORE_WEIGHT * before + ADJACENCY_WEIGHT * question.adjacency(terms)
            score += TYPE_WEIGHT * has_answer_of(kind, text) + PASSAGE_WEIGHT * passage.score
            if (covered or before) and not text.rstrip().endswith("?"):
                extracts.append(Extract(number, passage.start + start, passage.start + end, text, score))
            before = covered
        return extracts


def _same_place(left: Extract, left_passage: Passage, right: Extract, right_passage: Passage) -> bool:
    """Whether two extracts overlap in one document (chunks do), or say the same."""
    if left.text == right.text:
        return True
    return left_passage.document_id == right_passage.document_id and left.start < right.end and right.start < left.end
