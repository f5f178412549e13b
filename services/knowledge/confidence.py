"""How likely it is that the knowledge supports an answer, from what retrieval found."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from services.knowledge.text import AnalysedText, WeighedQuestion

ANSWER_THRESHOLD = 0.5
"""Below it nothing in the knowledge is taken to answer. On questions that the fit did not see it refuses 91 % of the
unanswerable ones and loses 5 % of the answerable; AUROC 0.98, expected calibration error 0.06.
"""

_INTERCEPT = -5.481
_WEIGHTS = (3.891, 3.495, 1.898, 2.21, 4.442)
"""Of `Signals`, in their order: by `tests/evaluation/fit_confidence.py` over XQuAD (English, 569 answerable questions,
67 unanswerable), the answerable ones with their document left out, and the same over Cranfield's abstracts.
"""
_LOOKED_AT = 3  # passages


@dataclass(frozen=True, slots=True)
class Signals:
    """What the probability is made of; each in about [0, 1]."""

    passage: float  # share of the question's weighed terms in the passage that holds most of them
    sentences: float  # the same for two sentences that stand together
    pairs: float  # share of the question's pairs of neighbouring terms that a passage has; of one term: `passage`
    lexical: float  # the best BM25 score as a share of what is possible
    cosine: float  # the best cosine of a passage


class Found(NamedTuple):
    """A retrieved passage: its terms, those of its headings, and its scores."""

    text: AnalysedText
    heading: str
    lexical: float
    cosine: float


def signals(question: WeighedQuestion, found: Sequence[Found]) -> Signals:
    """The signals of the best few of the retrieved passages."""
    best = found[:_LOOKED_AT]
    if not best or not question.total:
        return Signals(0.0, 0.0, 0.0, 0.0, max((one.cosine for one in best), default=0.0))
    passage = max(question.coverage(f"{one.heading}\n{one.text.terms}") for one in best)
    return Signals(
        passage=passage,
        sentences=max(_sentence_coverage(question, one) for one in best),
        pairs=max(question.adjacency(one.text.terms) for one in best) if question.pairs else passage,
        lexical=min(max(one.lexical for one in best), 1.0),
        cosine=max(one.cosine for one in best),
    )


def probability(found: Signals) -> float:
    """The logistic function of the weighed signals, in (0, 1)."""
    values = (found.passage, found.sentences, found.pairs, found.lexical, found.cosine)
    logit = _INTERCEPT + sum(weight * value for weight, value in zip(_WEIGHTS, values, strict=True))
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


def _sentence_coverage(question: WeighedQuestion, found: Found) -> float:
    """The most of the question that two neighbouring sentences have together."""
    terms = found.text.terms
    there = [
        (needle, weight) for needle, weight in zip(question.needles, question.weights, strict=True) if needle in terms
    ]
    if len(there) <= 1 or not question.total:
        return sum(weight for _, weight in there) / (question.total or 1.0)
    held = [[needle in line for needle, _ in there] for line in (*found.text.lines(), "")]
    most = max(
        sum([weight for (_, weight), left, right in zip(there, one, next_one, strict=True) if left or right])
        for one, next_one in pairwise(held)
    )
    return most / question.total
