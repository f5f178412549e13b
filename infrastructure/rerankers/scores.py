"""Scores as they come from rerankers: probabilities, or the logits of them."""

import math
from collections.abc import Sequence


def probability(logit: float) -> float:
    """The logistic function, without overflow: 1 / (1 + e^-x), in [0, 1]."""
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    power = math.exp(logit)
    return power / (1.0 + power)


def are_logits(scores: Sequence[float]) -> bool:
    """Whether one of them cannot be a probability."""
    return any(not 0.0 <= score <= 1.0 for score in scores)
