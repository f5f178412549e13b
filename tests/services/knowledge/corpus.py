"""A little knowledge to search, and a search index over it."""

from collections.abc import Sequence

from infrastructure.embedders.wordllama import WordLlamaEmbedder
from infrastructure.lexical.tantivy import LexicalIndex
from services.knowledge.records import ChunkRecord
from services.knowledge.search import SearchIndex

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


async def nothing(_: Sequence[int]) -> list[ChunkRecord]:
    return []


async def open_index(chunks: Sequence[ChunkRecord], **options: float) -> SearchIndex:
    index = SearchIndex(EMBEDDER, LexicalIndex(None), nothing, **options)  # type: ignore[arg-type]
    await index.replace([], chunks, EMBEDDER.embed([one.index_text() for one in chunks]), generation=1)
    return index
