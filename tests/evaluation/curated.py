"""Measure how well curated questions are found by paraphrases, and left alone by other questions.

    python -m tests.evaluation.curated knowledge/defi-qa.json

Right first, right in first five: the entry among the passages. Matched: the entry answers by itself, at the default
threshold. Refused: the confidence is below the threshold.
"""

import argparse
import asyncio
import json
from pathlib import Path

from services.knowledge.confidence import ANSWER_THRESHOLD
from services.knowledge.records import ChunkRecord
from services.knowledge.search import SearchIndex
from tests.evaluation.corpora import read_curated
from tests.evaluation.retrieval import open_index, show

QUESTIONS = Path(__file__).with_name("curated_questions.json")


def read_paraphrases(path: Path) -> dict[str, str]:
    """A paraphrase for each curated question of the set at `path`."""
    entries = {entry["id"]: entry["question"] for entry in json.loads(path.read_text("utf-8"))}
    return {entries[key]: text for key, text in json.loads(QUESTIONS.read_text("utf-8"))["paraphrases"].items()}


async def measure(chunks: list[ChunkRecord], meant: dict[str, str], asked: dict[str, list[str]]) -> dict[str, float]:
    index = await open_index(chunks)
    figures = await paraphrases(index, meant)
    for kind in ("neighbours", "off_topic"):
        found = [await index.search(question) for question in asked[kind]]
        figures[f"{kind} matched"] = sum(one.curated is not None for one in found) / len(found)
        figures[f"{kind} refused"] = sum(one.confidence < ANSWER_THRESHOLD for one in found) / len(found)
    await index.aclose()
    return figures


async def paraphrases(index: SearchIndex, asked: dict[str, str]) -> dict[str, float]:
    """Figures of paraphrases by the curated question that they mean."""
    first = five = right = wrong = answered = 0
    for curated, question in asked.items():
        found = await index.search(question)
        places = [passage.text.partition("\n")[0] for passage in found.passages]
        first += places[:1] == [curated]
        five += curated in places[:5]
        answered += found.confidence >= ANSWER_THRESHOLD
        if found.curated:
            right += found.curated.question == curated
            wrong += found.curated.question != curated
    names = ("right first", "right in first five", "matched rightly", "matched wrongly", "answered")
    return {name: n / len(asked) for name, n in zip(names, (first, five, right, wrong, answered), strict=True)}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="the curated Q&A set that curated_questions.json is about")
    path = parser.parse_args().path
    asked = json.loads(QUESTIONS.read_text("utf-8"))
    show("curated", await measure(read_curated(path), read_paraphrases(path), asked))


if __name__ == "__main__":
    asyncio.run(main())
