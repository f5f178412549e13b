"""Text as search sees it: sentences with their places, and the terms in each.

Analysing a chunk takes some 60 µs and is asked for again with every question that finds it, so what comes out is kept:
one short string a chunk, in which a term or a pair of neighbours is found by plain substring search.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from infrastructure.lexical.analysis import Analyzer
from services.knowledge.split import Span, split_sentences

Idf = Callable[[str], float]
"""The weight of a term: how rare it is in the knowledge."""

_KEPT_TEXTS = 4096  # about 1 KB each
_COMMON_WEIGHT = 0.3
_COMMON_WORDS = """
    about actual bad basic beginn best better big call case caus chang choos common compar creat danger defin describ
    detail determin differ easi exact exampl explain fact fast find first function general go good great happen hard
    help high idea import involv keep kind know larg last learn less littl long look lot low main make mani mean mention
    name need new number often old part people person place point possibl purpos put question real realli
    reason relat risk rule safe say set show sign simpl small someth sort stand start stay stop sure take tell term
    thing time try type understand use usual valu want way well work wors worst
"""
"""Stemmed words that mostly ask rather than say what is asked about: "how does it work", "what kind of", "what is the
difference". They count less where they are missed, but are searched for like others ("proof of work").
"""
_COMMON = frozenset(_COMMON_WORDS.split())


@dataclass(frozen=True, slots=True)
class AnalysedText:
    """Sentence n stands at `spans[n]`; its terms are line n of `terms`: ` term term ` with a space around each."""

    spans: tuple[Span, ...]
    terms: str

    def holds(self, term: str) -> bool:
        return f" {term} " in self.terms

    def lines(self) -> list[str]:
        return self.terms.split("\n") if self.spans else []


@dataclass(frozen=True, slots=True)
class WeighedQuestion:
    """The terms of a question, each once and in order, with their weights. `total` is the sum of these, `rarity`
    that of the terms' inverse document frequencies.

    `needles` and `pairs` are the terms, and the neighbouring terms, as they stand in `AnalysedText.terms`.
    """

    terms: tuple[str, ...]
    weights: tuple[float, ...]
    total: float
    rarity: float
    needles: tuple[str, ...]
    pairs: tuple[str, ...]

    def coverage(self, terms: str) -> float:
        """The share of the question's weight whose terms are in `terms`, a line or text of `AnalysedText`."""
        if not self.total:
            return 0.0
        held = [weight for needle, weight in zip(self.needles, self.weights, strict=True) if needle in terms]
        return sum(held) / self.total

    def adjacency(self, terms: str) -> float:
        """The share of the question's neighbouring terms that are neighbours in `terms` too, in the same order."""
        if not self.pairs:
            return 0.0
        return sum([pair in terms for pair in self.pairs]) / len(self.pairs)


class TextAnalysis:
    """Analyses texts and remembers the latest. Safe to share between threads."""

    def __init__(self, kept: int = _KEPT_TEXTS) -> None:
        self._analyzer = Analyzer()
        self.of = lru_cache(kept)(self._analyse)
        self.heading = lru_cache(kept)(self.line)
        self.bag = lru_cache(kept)(self._bag)

    def terms(self, text: str) -> list[str]:
        return self._analyzer.terms(text)

    def line(self, text: str) -> str:
        """The terms of `text` as one line of `AnalysedText.terms`."""
        return f" {' '.join(self._analyzer.widened_terms(text))} "

    def weigh(self, question: str, idf: Idf, limit: int = 64) -> WeighedQuestion:
        """The first `limit` terms of a question, weighed."""
        terms = tuple(dict.fromkeys(self._analyzer.terms(question)))[:limit]
        rarities = [idf(term) for term in terms]
        weights = tuple(
            rarity * _COMMON_WEIGHT if term in _COMMON else rarity for term, rarity in zip(terms, rarities, strict=True)
        )
        pairs = tuple(f" {left} {right} " for left, right in pairwise(terms))
        return WeighedQuestion(terms, weights, sum(weights), sum(rarities), tuple(f" {term} " for term in terms), pairs)

    def _bag(self, text: str, heading: str) -> frozenset[str]:
        """The terms of a text and of what stands above it, each once."""
        return frozenset((*self.of(text).terms.split(), *self.heading(heading).split()))

    def _analyse(self, text: str) -> AnalysedText:
        spans = split_sentences(text)
        return AnalysedText(tuple(spans), "\n".join(self.line(text[start:end]) for start, end in spans))


def term_weight(term: str, idf: Idf) -> float:
    """How much it says about a text that it has `term`."""
    return idf(term) * (_COMMON_WEIGHT if term in _COMMON else 1.0)


def shared_weight(left: Sequence[str], right: Sequence[str], idf: Idf) -> tuple[float, float]:
    """How much of the weight of each side's terms is on the other side too: two shares in [0, 1]."""
    mine, other = set(left), set(right)
    common = sum(term_weight(term, idf) for term in mine & other)
    totals = [sum(term_weight(term, idf) for term in side) for side in (mine, other)]
    return common / (totals[0] or 1.0), common / (totals[1] or 1.0)
