"""The figures, as pure functions of ranks, replies and probabilities."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
DEPTH = 10
BINS = 10


class Bin(NamedTuple):
    """Probabilities of one tenth of the scale: their mean, the share that was right, and how many there are."""

    given: float
    true: float
    count: int


def rank_figures(hits: Sequence[Sequence[bool]], relevant: Sequence[int]) -> dict[str, float]:
    """`hits`: for each question whether the first ten are right; `relevant`: how many right ones there are."""
    rows = []
    for found, possible in zip(hits, relevant, strict=True):
        places = [place for place, hit in enumerate(found[:DEPTH]) if hit]
        first = places[0] if places else np.inf
        gain = sum(1 / np.log2(place + 2) for place in places)
        ideal = sum(1 / np.log2(place + 2) for place in range(min(possible, DEPTH)))
        rows.append((first < 1, first < 5, 1 / (first + 1), gain / ideal))
    names = ("hit@1", "hit@5", "mrr@10", "ndcg@10")
    return dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))


def recall_by_rank(hits: Sequence[Sequence[bool]], relevant: Sequence[int]) -> list[float]:
    """The mean share of what is right that stands in the first 1, 2 … 10."""
    padded = np.array([[*found[:DEPTH], *[False] * (DEPTH - len(found))] for found in hits], float)
    shares: list[float] = (padded.cumsum(axis=1) / np.array(relevant, float)[:, None]).mean(axis=0).tolist()
    return shares


def auroc(yes: Array, no: Array) -> float:
    """The chance that one of `yes` is above one of `no`; equal ones count half."""
    return float(((yes[:, None] > no) + 0.5 * (yes[:, None] == no)).mean())


def reliability(given: Array, true: Array, bins: int = BINS) -> list[Bin]:
    """What was said against what was so, in `bins` equal parts of [0, 1]; empty ones are left out."""
    places = np.minimum((given * bins).astype(int), bins - 1)
    return [
        Bin(float(given[places == n].mean()), float(true[places == n].mean()), int((places == n).sum()))
        for n in sorted(set(places.tolist()))
    ]


def expected_calibration_error(given: Array, true: Array) -> float:
    """The mean distance of what was said from what was so, over ten bins (Guo and others, 2017)."""
    return sum(abs(one.given - one.true) * one.count for one in reliability(given, true)) / len(given)


def confidence_figures(yes: Array, no: Array, threshold: float) -> dict[str, float]:
    """Figures of probabilities given to questions that can be answered (`yes`) and to others (`no`)."""
    given, true = np.concatenate([yes, no]), np.r_[np.ones(len(yes)), np.zeros(len(no))]
    return {
        "auroc": auroc(yes, no),
        "ece": expected_calibration_error(given, true),
        "refused": float((no < threshold).mean()),
        "lost": float((yes < threshold).mean()),
    }
