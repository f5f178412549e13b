"""Fit the weights of `services.knowledge.confidence` and print them.

    python -m tests.evaluation.fit_confidence DATA

Positive: the answerable questions of DATA's question answering set. Negative: its unanswerable questions; the
answerable ones with the document that answers them left out; the same questions over the documents of its ranking
set. Negatives are weighed so that nearly half of the weight is theirs: a service is mostly asked what it knows.
Cross-validation is by document, seven-fold; the figures are of questions that the fit did not see.
"""

import argparse
import asyncio
import zlib
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.knowledge.records import ChunkRecord
from tests.evaluation.corpora import Corpus, Question, read_question_answering, read_ranking
from tests.evaluation.retrieval import confidence_figures, expected_calibration_error, open_index

Array = npt.NDArray[np.float64]
NEGATIVE_WEIGHT = 0.3
L2 = 1.0
FOLDS = 7
THRESHOLDS = (0.4, 0.45, 0.5, 0.55, 0.6)


@dataclass(frozen=True, slots=True)
class Sample:
    kind: str  # "own" for the set as it is, "left out", "foreign"
    group: str
    answerable: bool
    signals: tuple[float, ...]


async def sample(kind: str, chunks: list[ChunkRecord], questions: Iterable[tuple[str, Question]]) -> list[Sample]:
    """Ask `questions`, pairs of a group and a question, over `chunks`."""
    index = await open_index(chunks)
    samples = []
    for group, question in questions:
        found = await index.search(question.text, 10)
        samples.append(Sample(kind, group, kind == "own" and bool(question.relevant), astuple(found.signals)))
    await index.aclose()
    return samples


async def all_samples(corpus: Corpus, foreign: Corpus) -> list[Sample]:
    def group(question: Question) -> str:
        return corpus.chunks[min(question.relevant)].document if question.relevant else question.text

    asked = [(group(question), question) for question in corpus.questions]
    samples = await sample("own", corpus.chunks, asked)
    for document in sorted({chunk.document for chunk in corpus.chunks}):
        rest = [chunk for chunk in corpus.chunks if chunk.document != document]
        samples += await sample("left out", rest, [one for one in asked if one[0] == document])
    return samples + await sample("foreign", foreign.chunks, asked)


def fit(signals: Array, labels: Array, weights: Array) -> Array:
    """Logistic regression by Newton's method, with an L2 penalty on all but the intercept, which comes first."""
    inputs = np.c_[np.ones(len(signals)), signals]
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


def cross_validated(samples: list[Sample], signals: Array, labels: Array, weights: Array) -> Array:
    folds = np.array([zlib.crc32(one.group.encode()) % FOLDS for one in samples])
    given = np.zeros(len(samples))
    for fold in range(FOLDS):
        inside = folds != fold
        given[~inside] = predict(fit(signals[inside], labels[inside], weights[inside]), signals[~inside])
    return given


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    corpus = read_question_answering(next(data.rglob("questions.jsonl")).parent)
    samples = await all_samples(corpus, read_ranking(next(data.rglob("qrels.tsv")).parent))
    signals = np.array([one.signals for one in samples])
    labels = np.array([float(one.answerable) for one in samples])
    weights = np.where(labels > 0, 1.0, NEGATIVE_WEIGHT)
    report(samples, labels, cross_validated(samples, signals, labels, weights), fit(signals, labels, weights))


def report(samples: list[Sample], labels: Array, given: Array, found: Array) -> None:
    kinds = np.array([one.kind for one in samples])
    yes = given[labels > 0]
    lines = [f"intercept {found[0]:.3f} weights {np.round(found[1:], 3).tolist()}"]
    for kind in ("own", "left out", "foreign"):
        no = given[(kinds == kind) & (labels == 0)]
        for threshold in THRESHOLDS:
            figures = confidence_figures(yes, no, threshold)
            lines.append(f"{kind:9} {threshold} " + " ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    lines.append(f"ece of all, weighed as one set: {expected_calibration_error(given, labels):.3f}")
    print("\n".join(lines))


if __name__ == "__main__":
    asyncio.run(main())
