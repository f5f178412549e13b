"""Measure what a search costs over synthetic chunks.

    python -m tests.evaluation.latency [CHUNKS ...]

Words are drawn from a Zipf distribution, 120 a chunk; questions have 6 words. Times are of one search after another,
all asked once and then again; CPU is of the whole process.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from infrastructure.embedders.wordllama import WordLlamaEmbedder
from infrastructure.lexical.tantivy import LexicalIndex
from services.embeddings import Embeddings
from services.knowledge.records import ChunkRecord
from services.knowledge.search import Batch, SearchIndex

VOCABULARY = 50_000
WORDS = 120
QUESTIONS = 300
BATCH = 2_000


def chunk(row: int, document: str, title: str, text: str, section: str) -> ChunkRecord:
    return ChunkRecord(row, f"chunk-{row}", document, document, title, section, None, 0, len(text), text)


def vocabulary(generator: np.random.Generator) -> list[str]:
    syllables = ["ba", "co", "di", "fu", "ga", "le", "mi", "no", "pe", "qua", "ri", "so", "ta", "ve", "xo", "zu"]
    return ["".join(generator.choice(syllables, size=generator.integers(2, 6))) for _ in range(VOCABULARY)]


async def measure(count: int, folder: Path) -> str:
    generator = np.random.default_rng(0)
    words = np.array(vocabulary(generator))
    chances = 1 / np.arange(1, VOCABULARY + 1) ** 1.05
    chances /= chances.sum()

    def text(size: int) -> str:
        return " ".join(words[generator.choice(VOCABULARY, size=size, p=chances)])

    source = Synthetic(count, text)
    index = SearchIndex(Embeddings(source.embedder), LexicalIndex(folder), source)
    await index.load(source.batches(""), generation=1)
    questions = [text(6) for _ in range(QUESTIONS)]
    lines = [f"{count} chunks"]
    for name in ("first time", "again"):
        times, cpu = [], time.process_time()
        for question in questions:
            began = time.perf_counter()
            await index.search(question)
            times.append(time.perf_counter() - began)
        lines.append(line(name, times, time.process_time() - cpu))
    await index.aclose()
    return "\n".join(lines)


class Synthetic:
    """A source of `count` chunks made of `text(words)`."""

    def __init__(self, count: int, text: Callable[[int], str]) -> None:
        self.embedder = WordLlamaEmbedder()
        self._count = count
        self._text = text
        self._records: dict[int, ChunkRecord] = {}

    async def fetch(self, rows: Sequence[int]) -> list[ChunkRecord]:
        return [self._records[row] for row in rows]

    async def generation(self, partition: str) -> int:
        return 1

    async def batches(self, partition: str) -> AsyncIterator[Batch]:
        text = self._text
        for start in range(0, self._count, BATCH):
            found = [
                chunk(row, f"document-{row // 50}", text(3), f"{text(60)}. {text(60)}.", text(4))
                for row in range(start, min(start + BATCH, self._count))
            ]
            self._records.update((record.row, record) for record in found)
            yield found, self.embedder.embed([record.index_text() for record in found])


def line(name: str, seconds: Sequence[float], cpu: float) -> str:
    p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
    return f"  {name:22} p50 {p50:6.2f} ms  p95 {p95:6.2f} ms  CPU {cpu / len(seconds) * 1000:6.2f} ms"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chunks", nargs="*", type=int, default=[300, 1_000, 100_000])
    for count in parser.parse_args().chunks:
        with TemporaryDirectory() as folder:
            print(await measure(count, Path(folder)))


if __name__ == "__main__":
    asyncio.run(main())
