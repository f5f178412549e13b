"""How likely it is that the knowledge supports an answer, from what retrieval found.

A logistic function of five signals. Its weights are fitted, not chosen: `confidence.json` beside this file holds them
for each embedding model, with the data, the command and the cross-validated figures that they come from.
`make fit-confidence` writes it anew.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import NamedTuple

from services.knowledge.text import AnalysedText, WeighedQuestion

ANSWER_THRESHOLD = 0.6
"""Below it nothing in the knowledge is taken to answer. It loses 4 % of the answerable questions and refuses 90 % of
the others (cross-validated; docs/evaluation.md). It is above a half since most questions of the fit can be answered.
"""
CALIBRATIONS = "confidence.json"
_LOOKED_AT = 3  # passages
_MISSED_TERMS = 0.5
"""Shares are taken as if this many more terms had been asked for and not found, so that one rare word that happens to
stand in the knowledge says less than six do. Anything from 0.5 to 1 does about as well.
"""


@dataclass(frozen=True, slots=True)
class Signals:
    """What the probability is made of; each in about [0, 1]."""

    passage: float  # share of the question's weighed terms in the passage that holds most of them
    sentences: float  # the same for two sentences that stand together
    pairs: float  # share of the question's pairs of neighbouring terms that a passage has; 0 for one term
    lexical: float  # the best BM25 score as a share of what is possible
    cosine: float  # the best cosine of a passage


class Found(NamedTuple):
    """A retrieved passage: its terms, those of its headings, and its scores."""

    text: AnalysedText
    heading: str
    lexical: float
    cosine: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fit: `weights` are of `Signals`, in their order."""

    intercept: float
    weights: tuple[float, ...]


def signals(question: WeighedQuestion, found: Sequence[Found]) -> Signals:
    """The signals of the best few of the retrieved passages."""
    best = found[:_LOOKED_AT]
    if not best or not question.total:
        return Signals(0.0, 0.0, 0.0, 0.0, max((one.cosine for one in best), default=0.0))
    trust = len(question.terms) / (len(question.terms) + _MISSED_TERMS)
    return Signals(
        passage=trust * max(question.coverage(f"{one.heading}\n{one.text.terms}") for one in best),
        sentences=trust * max(_sentence_coverage(question, one) for one in best),
        pairs=max(question.adjacency(one.text.terms) for one in best),
        lexical=trust * min(max(one.lexical for one in best), 1.0),
        cosine=max(one.cosine for one in best),
    )


def probability(found: Signals, fit: Calibration | None = None) -> float:
    """The logistic function of the weighed signals, in (0, 1), by `fit`; None is the one of the default model."""
    fit = fit or calibration()
    values = (found.passage, found.sentences, found.pairs, found.lexical, found.cosine)
    logit = fit.intercept + sum(weight * value for weight, value in zip(fit.weights, values, strict=True))
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


def calibration(model: str | None = None) -> Calibration:
    """The fit for an embedding model, or the default one's where it has none of its own."""
    default, fits = _calibrations()
    return fits.get(model or default, fits[default])


@cache
def _calibrations() -> tuple[str, Mapping[str, Calibration]]:
    """The default model, and the fits by model: read once, when first asked for."""
    data = json.loads(files(__package__).joinpath(CALIBRATIONS).read_text("utf-8"))
    names = list(Signals.__dataclass_fields__)
    fits = {
        model: Calibration(fit["intercept"], tuple(fit["weights"][name] for name in names))
        for model, fit in data["models"].items()
    }
    return data["default"], fits


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
