"""BM25 where no lexical index computes it: what a term in a chunk counts, and which chunks are worth scoring."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations
from math import log1p, prod
from typing import NamedTuple

from infrastructure.database.repositories.search_changes import Lengths
from infrastructure.lexical.tantivy import FIELD_BOOSTS
from services.knowledge.records import ChunkRecord
from services.knowledge.text import TextAnalysis

K1 = 1.2
B = 0.75
_COMBINED = 8  # of the terms too common to be looked for alone


class ChunkTerms(NamedTuple):
    """The terms of a chunk's fields, with their repetitions."""

    body: list[str]
    title: list[str]
    section: list[str]


def chunk_terms(record: ChunkRecord, analysis: TextAnalysis) -> ChunkTerms:
    """A curated question weighs as a title does: it is what the entry is about."""
    texts = (record.text, record.question or record.title, record.section or "")
    return ChunkTerms(*(analysis.line(text).split() for text in texts))


def weights(terms: ChunkTerms, lengths: Lengths) -> dict[str, float]:
    """What each term of a chunk is worth, but for its rarity: BM25 (k1 1.2, b 0.75) of each field, weighed by
    `FIELD_BOOSTS`, where fields are as long in the mean as `lengths` says."""
    found: dict[str, float] = {}
    for name, boost in FIELD_BOOSTS.items():
        words: list[str] = getattr(terms, name)
        mean = max(getattr(lengths, name) / lengths.measured, 1.0) if lengths.measured else 1.0
        norm = K1 * (1 - B + B * len(words) / mean)
        for term, times in Counter(words).items():
            found[term] = found.get(term, 0.0) + boost * times * (K1 + 1) / (times + norm)
    return found


def rarity(size: int, held: int) -> float:
    """BM25's inverse document frequency (Robertson and Spärck Jones, plus one): ln(1 + (N - n + ½) / (n + ½))."""
    return log1p((max(size - held, 0) + 0.5) / (held + 0.5))


def alternatives(held: Mapping[str, int], size: int, most: int) -> list[tuple[str, ...]]:
    """Terms, and sets of terms, such that about `most` of `size` chunks hold one of them: what holds none of it can
    hardly be among the best. `held`: how many chunks hold each term.

    The rarest terms count alone; those that too many chunks hold count two or three together, as if they came
    independently of each other.
    """
    chosen: list[tuple[str, ...]] = []
    common: dict[str, float] = {}
    expected = 0.0
    for term, count in sorted(held.items(), key=lambda one: one[1]):
        if expected + count <= most:
            expected += count
            chosen += [(term,)] if count else []
        else:
            common[term] = count / max(size, count)
    common = dict(list(common.items())[:_COMBINED])
    for together in _rarest_first(common):
        expected += size * prod(common[term] for term in together)
        if expected > most:
            break
        if not any(set(other) <= set(together) for other in chosen):
            chosen.append(together)
    return chosen or ([tuple(common)] if common else [])


def _rarest_first(common: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
    for count in (2, 3):
        yield from sorted(combinations(common, count), key=lambda some: prod(common[term] for term in some))
