"""Fit the confidence anew and write it where the service reads it.

    python -m tests.evaluation.fit_confidence [DATA] [--embedding NAME] [--write FILE]

DATA has a set of questions with answers and a set of another field. Negatives are weighed so that about nine of ten
questions can be answered, as of a service that is mostly asked what it knows; short ones count a fifth.
Cross-validation is seven-fold by document: a question is judged by a fit that saw none of its document's.
"""

import argparse
import asyncio
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from services.embedding_specs import parse_spec
from services.knowledge import confidence
from services.knowledge.confidence import ANSWER_THRESHOLD, Signals
from tests.evaluation.figures import Array, confidence_figures
from tests.evaluation.folders import DataSet, find_sets
from tests.evaluation.samples import Sample, all_samples

COMMAND = "make fit-confidence"
NEGATIVE_WEIGHT = 0.2
SHORT_WEIGHT = 0.2
L2 = 1.0
FOLDS = 7
SHIPPED = Path(confidence.__file__).with_name(confidence.CALIBRATIONS)
DEFAULT_MODEL = "wordllama-l2-supercat-256"


def fit(signals: Array, labels: Array, weights: Array) -> Array:
    """Logistic regression by Newton's method, with an L2 penalty on all but the intercept, which comes first."""
    inputs = np.column_stack([np.ones(len(signals)), signals])
    penalty = np.diag([0.0] + [L2] * signals.shape[1])
    found = np.zeros(inputs.shape[1])
    for _ in range(50):
        given = 1 / (1 + np.exp(-inputs @ found))
        gradient = inputs.T @ (weights * (given - labels)) + penalty @ found
        curvature = (inputs * (weights * given * (1 - given))[:, None]).T @ inputs + penalty
        found -= np.linalg.solve(curvature, gradient)
    return found


def predict(found: Array, signals: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-(found[0] + signals @ found[1:]))))


def cross_validated(samples: Sequence[Sample], signals: Array, labels: Array, weights: Array) -> Array:
    """For each sample the probability by a fit that saw none of its group."""
    folds = np.array([zlib.crc32(one.group.encode()) % FOLDS for one in samples])
    given = np.zeros(len(samples))
    for fold in set(folds.tolist()):
        inside = folds != fold
        given[~inside] = predict(fit(signals[inside], labels[inside], weights[inside]), signals[~inside])
    return given


def calibrate(samples: Sequence[Sample]) -> dict[str, Any]:
    """The weights, and the figures of questions that their fit did not see."""
    signals = np.array([one.signals for one in samples])
    labels = np.array([float(one.positive) for one in samples])
    weights = np.array([_weight(one) for one in samples])
    found = fit(signals, labels, weights)
    names = list(Signals.__dataclass_fields__)
    return {
        "intercept": round(float(found[0]), 3),
        "weights": {name: round(float(value), 3) for name, value in zip(names, found[1:], strict=True)},
        "cross_validated": _figures(samples, labels, cross_validated(samples, signals, labels, weights)),
        "samples": dict(Counter(f"{one.kind}, {'positive' if one.positive else 'negative'}" for one in samples)),
    }


def _weight(sample: Sample) -> float:
    return (1.0 if sample.positive else NEGATIVE_WEIGHT) * (SHORT_WEIGHT if "short" in sample.kind else 1.0)


def _figures(samples: Sequence[Sample], labels: Array, given: Array) -> dict[str, Any]:
    """By kind of negative: against the positives of the same length."""
    kinds = np.array([one.kind for one in samples])
    figures: dict[str, Any] = {"folds": FOLDS, "threshold": ANSWER_THRESHOLD}
    for kind in dict.fromkeys(kinds[labels == 0].tolist()):
        yes = given[(kinds == ("own, short" if "short" in kind else "own")) & (labels > 0)]
        found = confidence_figures(yes, given[(kinds == kind) & (labels == 0)], ANSWER_THRESHOLD)
        if kind != "own":
            del found["ece"]  # it depends on how many are asked, which is made up for these
        figures[kind] = {name: round(value, 3) for name, value in found.items()}
    return figures


def provenance(sets: Sequence[DataSet], root: Path) -> dict[str, Any]:
    """What the fit was made of: when, by what, from which files."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": COMMAND,
        "negative_weight": NEGATIVE_WEIGHT,
        "short_weight": SHORT_WEIGHT,
        "l2": L2,
        "data": {data.folder.relative_to(root).as_posix(): checksum(data.folder) for data in sets},
    }


def checksum(folder: Path) -> str:
    """SHA-256 over the names and bytes of a folder's files, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return f"sha256:{digest.hexdigest()}"


def write(path: Path, model: str, found: dict[str, Any]) -> None:
    """Put the fit for `model` into the file, beside those of other models."""
    kept = json.loads(path.read_text("utf-8")) if path.is_file() else {"default": model, "models": {}}
    kept["models"][model] = found
    path.write_text(json.dumps(kept, indent=2) + "\n", "utf-8")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--embedding", metavar="NAME", help="fit for another embedding model than the default")
    parser.add_argument("--write", metavar="FILE", type=Path, default=SHIPPED)
    given = parser.parse_args()
    sets = list(find_sets(given.data))
    data = next(one for one in sets if one.has_answers)
    foreign = next(one for one in sets if one is not data)
    found = calibrate(await all_samples(data, foreign, given.embedding))
    model = parse_spec(given.embedding).kept if given.embedding else DEFAULT_MODEL
    write(given.write, model, {**found, "fitted": provenance([data, foreign], given.data)})
    print(json.dumps(found, indent=2))
    print(f"written: {given.write}")


if __name__ == "__main__":
    asyncio.run(main())
