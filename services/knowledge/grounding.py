"""Checks an answer against the passages it was made from: which text each of its citations rests on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from infrastructure.passages import Passage
from services.knowledge.split import Span, split_sentences
from services.knowledge.text import TextAnalysis

_MARKER = re.compile(r"\[\s*\d{1,3}(?:\s*[,;]\s*\d{1,3})*\s*\]")
_FIGURE_DIGITS = 2  # one digit may number a list, or be a word in the passage
_NUMBER = re.compile(r"\d+")
SUPPORT_THRESHOLD = 0.6
_SUBSTANCE = 3  # content words: a shorter sentence claims little
_MAX_QUOTED_SENTENCES = 2
_WORTH_A_SENTENCE = 0.15  # of support that a second sentence has to add to be quoted


@dataclass(frozen=True, slots=True)
class Citation:
    """A place in a document that an answer rests on. `quote` is exactly `[start, end)` of the document's text."""

    id: int  # the number of the passage, as in the answer's marker `[id]`
    document: str
    document_id: str
    chunk_id: str
    page: int | None
    section: str | None
    start: int
    end: int
    quote: str
    score: float  # share in [0, 1] of the citing sentence's content words that the quote has


@dataclass(frozen=True, slots=True)
class Grounding:
    """`rejected` counts the markers' numbers that name no passage."""

    citations: list[Citation]
    grounded: bool
    rejected: int


@dataclass(frozen=True, slots=True)
class _Claim:
    """A sentence of an answer: its content words, each once, and the numbers it cites."""

    words: frozenset[str]
    cited: tuple[int, ...]


class Grounder:
    """Finds the support of an answer's sentences by their content words. Pure, but for the memory of analysed texts."""

    def __init__(self, analysis: TextAnalysis) -> None:
        self._analysis = analysis

    def ground(self, answer: str, passages: Sequence[Passage]) -> Grounding:
        """Check `answer`, whose markers `[n]` name `passages[n - 1]`.

        One citation for each passage that is named: the sentence or two that best support a sentence that names it. It
        is grounded when each of its sentences that say something finds most of its content words, and all its
        figures, in one passage or in those it cites.
        """
        claims = self._claims(answer)
        best: dict[int, Citation] = {}
        for claim in claims:
            for number in claim.cited:
                if 1 <= number <= len(passages):
                    found = self._cite(number, passages[number - 1], claim)
                    if number not in best or found.score > best[number].score:
                        best[number] = found
        rejected = sum(number < 1 or number > len(passages) for claim in claims for number in claim.cited)
        citations = [best[number] for number in sorted(best)]
        return Grounding(citations, self._is_grounded(claims, passages), rejected)

    def _claims(self, answer: str) -> list[_Claim]:
        """The sentences of an answer. A marker belongs to the sentence that it stands in, or after the end of."""
        claims = []
        for start, end in _with_trailing_markers(answer):
            sentence = answer[start:end]
            cited: tuple[int, ...] = ()
            if "[" in sentence:
                cited = tuple(int(n) for marker in _MARKER.findall(sentence) for n in _NUMBER.findall(marker))
                sentence = _MARKER.sub(" ", sentence)
            claims.append(_Claim(frozenset(self._analysis.terms(sentence)), cited))
        return claims

    def _is_grounded(self, claims: Sequence[_Claim], passages: Sequence[Passage]) -> bool:
        substantial = [claim for claim in claims if len(claim.words) >= _SUBSTANCE]
        if not substantial:
            substantial = [claim for claim in claims if claim.words]
        bags = [self._analysis.bag(passage.text, f"{passage.title} {passage.section or ''}") for passage in passages]
        return bool(substantial) and all(_is_supported(claim, bags) for claim in substantial)

    def _cite(self, number: int, passage: Passage, claim: _Claim) -> Citation:
        (start, end), score = self._best_quote(passage, [f" {word} " for word in claim.words])
        return Citation(
            id=number,
            document=passage.document,
            document_id=passage.document_id,
            chunk_id=passage.chunk_id,
            page=passage.page,
            section=passage.section,
            start=passage.start + start,
            end=passage.start + end,
            quote=passage.text[start:end],
            score=score,
        )

    def _best_quote(self, passage: Passage, words: Sequence[str]) -> tuple[Span, float]:
        """The sentence of `passage` that has most of `words`, which are as in `AnalysedText.terms`; with the next one
        where that adds enough.
        """
        analysed = self._analysis.of(passage.text)
        if not analysed.spans:
            return (0, len(passage.text)), _support(words, analysed.terms)
        lines = analysed.lines()
        alone = [_support(words, line) for line in lines]
        first = max(range(len(lines)), key=alone.__getitem__)
        best, score = (first, first + 1), alone[first]
        for start in (first - 1, first):
            if start >= 0 and start + _MAX_QUOTED_SENTENCES <= len(lines):
                both = _support(words, "\n".join(lines[start : start + _MAX_QUOTED_SENTENCES]))
                if both >= alone[first] + _WORTH_A_SENTENCE and both > score:
                    best, score = (start, start + _MAX_QUOTED_SENTENCES), both
        return (analysed.spans[best[0]][0], analysed.spans[best[1] - 1][1]), score


def _is_supported(claim: _Claim, bags: Sequence[frozenset[str]]) -> bool:
    """Whether one passage, or all that the claim cites together, has most of its words, and each of its figures."""
    words = claim.words
    figures = frozenset([word for word in words if word.isdecimal() and len(word) >= _FIGURE_DIGITS])
    cited = frozenset().union(*(bags[number - 1] for number in claim.cited if 1 <= number <= len(bags)))
    least = SUPPORT_THRESHOLD * len(words)
    return any(len(words & bag) >= least and figures <= bag for bag in (*bags, cited))


def _support(words: Sequence[str], terms: str) -> float:
    return sum([word in terms for word in words]) / len(words) if words else 0.0


def _with_trailing_markers(answer: str) -> list[Span]:
    """The sentences of an answer; what stands between two of them, such as `[1]` after a full stop, is the first's."""
    if "[" not in answer:
        return split_sentences(answer)
    spans: list[Span] = []
    for start, end in split_sentences(answer):
        leading = re.match(rf"(?:{_MARKER.pattern}\s*)+", answer[start:end])
        if leading and spans:
            spans[-1] = (spans[-1][0], start + leading.end())
            start += leading.end()
        if start < end:
            spans.append((start, end))
    return spans
