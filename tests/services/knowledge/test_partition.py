"""A partition with so many chunks that its vectors have an index."""

import numpy as np
import pytest

from infrastructure.lexical.tantivy import LexicalIndex
from infrastructure.vectors.blocks import BlockSnapshot
from infrastructure.vectors.numpy import VectorSnapshot
from services.knowledge.partition import Loading, Partition
from services.knowledge.records import ChunkRecord
from services.knowledge.retrieval import Retrieval, Retriever
from services.knowledge.snapshot import View
from services.knowledge.text import TextAnalysis
from tests.services.knowledge.corpus import EMBEDDER, chunk, entry, knowledge

MANY = 100
SUBJECTS = ["bridge", "valve", "turbine", "ledger", "orchard", "glacier", "canal", "reactor", "antenna", "harbour"]


def chunks() -> list[ChunkRecord]:
    """The little knowledge, and three hundred chunks about other things."""
    others = [
        chunk(row, f"{SUBJECTS[row % 10]}-{row // 30}.md", f"The {SUBJECTS[row % 10]} {row} weighs {row * 7} tons.")
        for row in range(100, 400)
    ]
    return [*knowledge(), *others]


def embedded(records: list[ChunkRecord]) -> np.ndarray:
    return EMBEDDER.embed([record.index_text() for record in records])


def asked(records: list[ChunkRecord]) -> np.ndarray:
    return EMBEDDER.embed([record.question for record in records if record.question])


def load(faiss_from: int) -> Partition:
    part = Partition(LexicalIndex(None), EMBEDDER.dimensions, faiss_from)
    loading, records = Loading(part.lexical, faiss_from), chunks()
    for at in range(0, len(records), 50):
        loading.add(records[at : at + 50], embedded(records[at : at + 50]))
    part.load(loading, asked(loading.curated), 1)
    return part


def replace(part: Partition, removed: list[int], added: list[ChunkRecord], generation: int = 2) -> None:
    part.replace(removed, added, embedded(added), asked(added), generation)


def search(
    part: Partition, query: str, only: frozenset[str] | None = None, more: tuple[ChunkRecord, ...] = ()
) -> Retrieval:
    retriever, view = Retriever(TextAnalysis(), 0.7), View([part.snapshot])
    ranking = retriever.rank(view, query, EMBEDDER.embed([query])[0], 8, only)
    return retriever.finish(ranking, {record.row: record for record in [*chunks(), *more]})


def places(found: Retrieval) -> list[tuple[str, int]]:
    return [(passage.document, passage.start) for passage in found.passages]


@pytest.mark.parametrize(
    "question",
    ["What is impermanent loss?", "What is a flash loan?", "How heavy is the glacier 255?", "turbine", ""],
)
@pytest.mark.parametrize("only", [None, frozenset({"d-amm.md", "d-glacier-8.md", "d-qa", "d-none"})])
def test_many_chunks_are_searched_as_few_are(question: str, only: frozenset[str] | None) -> None:
    few, many = load(1000), load(MANY)
    assert isinstance(few.snapshot.vectors, VectorSnapshot)
    assert isinstance(many.snapshot.vectors, BlockSnapshot)
    exact, found = search(few, question, only), search(many, question, only)
    if question:  # else all are as far from it
        assert places(found) == places(exact)
    assert [one.score for one in found.passages] == pytest.approx([one.score for one in exact.passages], abs=2e-3)
    assert found.confidence == pytest.approx(exact.confidence, abs=5e-3)
    assert (found.curated and found.curated.question) == (exact.curated and exact.curated.question)


def test_a_partition_that_grows_gets_an_index_and_one_that_shrinks_loses_it() -> None:
    part = Partition(LexicalIndex(None), EMBEDDER.dimensions, MANY)
    records = chunks()
    replace(part, [], records[:90])
    assert isinstance(part.snapshot.vectors, VectorSnapshot)
    replace(part, [], records[90:])
    assert isinstance(part.snapshot.vectors, BlockSnapshot)
    assert places(search(part, "What is impermanent loss?"))[0][0] == "amm.md"
    replace(part, [record.row for record in records[40:]], [])
    assert isinstance(part.snapshot.vectors, VectorSnapshot)
    assert places(search(part, "What is impermanent loss?"))[0][0] == "amm.md"


def test_changes_of_an_indexed_partition_are_found() -> None:
    part = load(MANY)
    before = part.snapshot
    honey = chunk(900, "amm.md", "Bees make honey from nectar.")
    question = entry(901, "What is a beehive?", "A beehive is where bees live.")
    replace(part, [2, 5], [honey, question])
    found = search(part, "How do bees make honey?", more=(honey, question))
    assert found.passages[0].text == honey.text
    match = search(part, "What is a beehive?", more=(honey, question)).curated
    assert match is not None
    assert search(part, "What is a flash loan?", more=(honey, question)).curated is None
    only = frozenset({"d-amm.md"})
    assert [one.text for one in search(part, "impermanent loss", only, (honey,)).passages] == [honey.text]
    assert before.vectors.positions(np.array([2, 900])).tolist() == [1, -1]


def test_a_document_without_chunks_left_has_no_passages() -> None:
    part = load(MANY)
    replace(part, [2], [])
    assert search(part, "impermanent loss", frozenset({"d-amm.md"})).passages == ()
