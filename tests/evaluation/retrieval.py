"""Measure retrieval, sentence selection and "I don't know" on evaluation data.

    python -m tests.evaluation.retrieval DATA

DATA holds folders of question answering (documents/*.md and questions.jsonl) and of ranking (documents.jsonl,
queries.jsonl and qrels.tsv). Figures: hit@k and MRR@10 of the gold chunk; ans@2, an answer in the best two sentences;
nDCG@10 with binary gain; AUROC, ECE (ten bins) and abstention rates of the confidence, answerable against not.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from infrastructure.embedders.wordllama import WordLlamaEmbedder
from infrastructure.lexical.tantivy import LexicalIndex
from services.knowledge.confidence import ANSWER_THRESHOLD
from services.knowledge.records import ChunkRecord
from services.knowledge.search import Retrieval, SearchIndex
from services.knowledge.sentences import SentenceSelector
from tests.evaluation.corpora import Corpus, Question, contains, read_question_answering, read_ranking

TARGETS = {
    "xquad": {"hit@1": 0.945, "hit@5": 0.993, "mrr@10": 0.967, "ans@2": 0.87},
    "cranfield": {"ndcg@10": 0.41},
}


async def open_index(chunks: Sequence[ChunkRecord]) -> SearchIndex:
    """A search index in memory over `chunks`."""

    async def nothing(_: Sequence[int]) -> list[ChunkRecord]:
        return []

    embedder = WordLlamaEmbedder()
    index = SearchIndex(embedder, LexicalIndex(None), nothing)
    vectors = embedder.embed([one.index_text() for one in chunks])
    await index.replace([], chunks, vectors, generation=1)
    return index


def rank_figures(found: Sequence[Retrieval], questions: Sequence[Question]) -> dict[str, float]:
    rows = []
    for retrieval, question in zip(found, questions, strict=True):
        ranked = [int(passage.chunk_id.rpartition("-")[2]) for passage in retrieval.passages[:10]]
        hits = [place for place, row in enumerate(ranked) if row in question.relevant]
        first = hits[0] if hits else np.inf
        gain = sum(1 / np.log2(place + 2) for place in hits)
        ideal = sum(1 / np.log2(place + 2) for place in range(min(len(question.relevant), 10)))
        rows.append((first < 1, first < 5, 1 / (first + 1), gain / ideal))
    return dict(zip(("hit@1", "hit@5", "mrr@10", "ndcg@10"), np.mean(rows, axis=0).tolist(), strict=True))


def confidence_figures(yes: npt.NDArray[np.float64], no: npt.NDArray[np.float64], threshold: float) -> dict[str, float]:
    """Figures of probabilities given to answerable questions (`yes`) and to others (`no`)."""
    return {
        "auroc": float(((yes[:, None] > no) + 0.5 * (yes[:, None] == no)).mean()),
        "ece": expected_calibration_error(np.concatenate([yes, no]), np.r_[np.ones(len(yes)), np.zeros(len(no))]),
        "refused": float((no < threshold).mean()),
        "lost": float((yes < threshold).mean()),
    }


def expected_calibration_error(given: npt.NDArray[np.float64], true: npt.NDArray[np.float64], bins: int = 10) -> float:
    places = np.minimum((given * bins).astype(int), bins - 1)
    gaps = [abs(given[places == n].mean() - true[places == n].mean()) * (places == n).mean() for n in set(places)]
    return float(sum(gaps))


async def measure_question_answering(corpus: Corpus) -> dict[str, float]:
    index = await open_index(corpus.chunks)
    selector = SentenceSelector(index.idf, index.analysis)
    answerable = [question for question in corpus.questions if question.relevant]
    found = [await index.search(question.text, 10) for question in answerable]
    others = [await index.search(question.text, 10) for question in corpus.questions if not question.relevant]
    figures = rank_figures(found, answerable)
    for limit in (1, 2):
        held = []
        for question, retrieval in zip(answerable, found, strict=True):
            sentences = selector.best_sentences(question.text, retrieval.passages, limit)
            held.append(contains(" ".join(sentence.text for sentence in sentences), question.answers))
        figures[f"ans@{limit}"] = float(np.mean(held))
    yes = np.array([retrieval.confidence for retrieval in found])
    no = np.array([retrieval.confidence for retrieval in others])
    await index.aclose()
    return figures | confidence_figures(yes, no, ANSWER_THRESHOLD)


async def measure_ranking(corpus: Corpus) -> dict[str, float]:
    index = await open_index(corpus.chunks)
    found = [await index.search(question.text, 10) for question in corpus.questions]
    await index.aclose()
    return rank_figures(found, corpus.questions)


def show(name: str, figures: dict[str, float]) -> None:
    print(name)
    for figure, value in figures.items():
        target = TARGETS.get(name, {}).get(figure)
        print(f"  {figure:20} {value:.4f}" + (f"   target {target}" if target else ""))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    measures: list[tuple[str, Callable[[Path], Corpus], Callable[[Corpus], Awaitable[dict[str, float]]]]] = [
        ("questions.jsonl", read_question_answering, measure_question_answering),
        ("qrels.tsv", read_ranking, measure_ranking),
    ]
    data = parser.parse_args().data
    for file, read, measure in measures:
        for path in sorted(data.rglob(file)):
            corpus = read(path.parent)
            show(corpus.name, await measure(corpus))


if __name__ == "__main__":
    asyncio.run(main())
