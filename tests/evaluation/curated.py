"""How well curated questions are found by other words for them, and left alone by other questions.

Sets of twenty are drawn from the sample set, because that is how many entries a first set has.
"""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tests.evaluation.measures import Measured, is_refused
from tests.evaluation.service import Service, service

ENTRIES = Path(__file__).parents[2] / "knowledge" / "defi-qa.json"
QUESTIONS = Path(__file__).with_name("curated_questions.json")
SIZE = 20
DRAWS = 5


async def measure_curated(embedding: str | None = None, draws: int = DRAWS) -> Measured:
    """The mean figures over `draws` sets of twenty entries, each with its own seed."""
    entries: list[dict[str, Any]] = json.loads(ENTRIES.read_text("utf-8"))
    asked = json.loads(QUESTIONS.read_text("utf-8"))
    known = [entry for entry in entries if entry["id"] in asked["paraphrases"]]
    figures = [await _measure_draw(random.Random(seed).sample(known, SIZE), asked, embedding) for seed in range(draws)]
    mean = {name: float(np.mean([one[name] for one in figures])) for name in figures[0]}
    return Measured("curated", draws * SIZE, mean)


async def _measure_draw(
    entries: Sequence[Mapping[str, Any]], asked: Mapping[str, Any], embedding: str | None
) -> dict[str, float]:
    meant = {entry["question"]: asked["paraphrases"][entry["id"]] for entry in entries}
    with TemporaryDirectory() as folder:
        (Path(folder) / "entries.json").write_text(json.dumps(list(entries)), "utf-8")
        async with service(Path(folder), embedding) as running:
            figures = await _paraphrases(running, meant)
            for kind in ("neighbours", "off_topic"):
                replies = [await running.ask(question) for question in asked[kind]]
                name = kind.replace("_", "-")
                figures[f"{name} refused"] = float(np.mean([is_refused(reply) for reply in replies]))
                answered = [reply["model"] == "curated" for reply in replies]
                figures[f"{name} taken for an entry"] = float(np.mean(answered))
    return figures


async def _paraphrases(running: Service, meant: Mapping[str, str]) -> dict[str, float]:
    """Figures of paraphrases by the curated question that they mean."""
    rows = []
    for curated, question in meant.items():
        found, reply = await running.search(question, 5), await running.ask(question)
        places = [curated in passage.text for passage in found.passages]
        match = found.curated
        rows.append(
            (
                places[:1] == [True],
                any(places),
                not is_refused(reply),
                match is not None and match.question == curated,
                match is not None and match.question != curated,
            )
        )
    names = ("right first", "right in first five", "answered", "word for word", "word for word, wrong")
    return dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))
