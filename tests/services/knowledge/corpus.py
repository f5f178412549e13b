"""A little knowledge to search, and a search index over it."""

from collections.abc import AsyncIterator, Sequence

from infrastructure.database.models import SHARED
from infrastructure.embedders.wordllama import WordLlamaEmbedder
from infrastructure.lexical.tantivy import LexicalIndex
from services.embeddings import Embeddings
from services.knowledge.records import ChunkRecord
from services.knowledge.search import Batch, SearchIndex

TEXTS = {
    "lending.md": "A lending pool holds the deposits of many lenders. Borrowers post collateral worth more than debt.",
    "amm.md": "Impermanent loss is what a liquidity provider loses against holding. It grows when prices diverge.",
    "staking.md": "Staking locks a coin to secure a network. Ethereum moved to proof of stake in September 2022.",
    "oracle.md": "An oracle brings outside prices to a smart contract. A manipulated oracle can drain a protocol.",
}
CURATED = {
    "What is a flash loan?": "A flash loan is borrowed and repaid within a single transaction.",
    "What does MEV stand for?": "MEV stands for maximal extractable value.",
}
EMBEDDER = WordLlamaEmbedder()


def chunk(row: int, document: str, text: str, start: int = 0) -> ChunkRecord:
    title = document.removesuffix(".md").title()
    return ChunkRecord(row, f"c{row}", f"d-{document}", document, title, None, None, start, start + len(text), text)


def entry(row: int, question: str, answer: str, start: int = 0) -> ChunkRecord:
    text = f"{question}\n{answer}"
    end = start + len(text)
    return ChunkRecord(
        row, f"c{row}", "d-qa", "qa.json", "Questions", None, None, start, end, text, "qa", question,
        end - len(answer), end,
    )  # fmt: skip


def knowledge() -> list[ChunkRecord]:
    chunks = [chunk(row, document, text) for row, (document, text) in enumerate(TEXTS.items(), 1)]
    start = 0
    for question, answer in CURATED.items():
        chunks.append(entry(len(chunks) + 1, question, answer, start))
        start = chunks[-1].end + 1
    return chunks


class Source:
    """Where a search index reads chunks from: dictionaries, by partition."""

    def __init__(self, **partitions: Sequence[ChunkRecord]) -> None:
        self.partitions: dict[str, Sequence[ChunkRecord]] = partitions
        self.fetched: list[int] = []
        self.read: list[str] = []

    async def fetch(self, rows: Sequence[int]) -> list[ChunkRecord]:
        self.fetched.extend(rows)
        return [one for chunks in self.partitions.values() for one in chunks if one.row in rows]

    async def batches(self, partition: str) -> AsyncIterator[Batch]:
        self.read.append(partition)
        if chunks := self.partitions.get(partition, ()):
            yield chunks, EMBEDDER.embed([one.index_text() for one in chunks])

    async def generation(self, partition: str) -> int:
        return 1


async def open_index(chunks: Sequence[ChunkRecord], source: Source | None = None, **options: float) -> SearchIndex:
    lexical = LexicalIndex(None)
    index = SearchIndex(Embeddings(EMBEDDER), lexical, source or Source(), **options)  # type: ignore[arg-type]
    await index.replace(SHARED, [], chunks, EMBEDDER.embed([one.index_text() for one in chunks]), generation=1)
    return index
