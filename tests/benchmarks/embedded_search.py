"""Measure the search index over many chunks: how long a search takes, what it finds, memory, changes.

    python -m tests.benchmarks.embedded_search [CHUNKS ...]
    python -m tests.benchmarks.embedded_search --texts FOLDER

Chunks have 120 words, half of them from one of many subjects, the others from a Zipf distribution; their words are in a
folder, their texts in SQLite. Questions have 6 words. Times are of one search after another, in process. Recall is the
share of the ten nearest chunks, by an exact search, that the index finds. With --texts it is over the sentences and
passages of FOLDER's documents.jsonl and the questions of its queries.jsonl.
"""

import argparse
import asyncio
import json
import re
import resource
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil

from infrastructure.database.models import SHARED
from infrastructure.embedders.wordllama import DIMENSIONS, WordLlamaEmbedder
from infrastructure.lexical.tantivy import LexicalIndex
from infrastructure.vectors.numpy import Vectors, inner_products, top_positions
from infrastructure.vectors.sized import FAISS_FROM, VectorPile
from services.embeddings import Embeddings
from services.knowledge.records import ChunkRecord
from services.knowledge.scope import SHARED_SCOPE, Scope
from services.knowledge.search import Batch, SearchIndex

VOCABULARY = 50_000
WORDS = 120
SUBJECT_WORDS = 100
CHUNKS_A_SUBJECT = 200
CHUNKS_A_DOCUMENT = 50
QUESTIONS = 300
BATCH = 2_000
NEAREST = 10
SYLLABLES = ["ba", "co", "di", "fu", "ga", "le", "mi", "no", "pe", "qua", "ri", "so", "ta", "ve", "xo", "zu"]


class Words:
    """Texts by chance, the same ones each time."""

    def __init__(self, chunks: int) -> None:
        self._chance = np.random.default_rng(0)
        sizes = self._chance.integers(2, 6, VOCABULARY)
        self._words = np.array(["".join(self._chance.choice(SYLLABLES, size=size)) for size in sizes], object)
        self._up_to = np.cumsum(1 / np.arange(1, VOCABULARY + 1) ** 1.05)
        self._subjects = self._chance.integers(
            VOCABULARY, size=(max(chunks // CHUNKS_A_SUBJECT, 1), SUBJECT_WORDS), dtype=np.int32
        )

    def texts(self, count: int, size: int) -> list[str]:
        """`count` texts of `size` words, each about one subject."""
        any_words = np.searchsorted(self._up_to, self._chance.random((count, size // 2)) * self._up_to[-1])
        subjects = self._subjects[self._chance.integers(len(self._subjects), size=count)]
        of_subject = np.take_along_axis(subjects, self._chance.integers(SUBJECT_WORDS, size=(count, size // 2)), 1)
        numbers = self._chance.permuted(np.concatenate([any_words, of_subject], axis=1), axis=1)
        return [" ".join(self._words[row]) for row in numbers]


class Texts:
    """Where the index reads chunks from, as the service does from its database; it also keeps the vectors in a file."""

    def __init__(self, folder: Path, count: int, embedder: WordLlamaEmbedder) -> None:
        self.words = Words(count)
        self.vectors = folder / "vectors"
        self._count = count
        self._embedder = embedder
        self._database = sqlite3.connect(folder / "texts.db")
        self._database.execute("CREATE TABLE text (row INTEGER PRIMARY KEY, text TEXT)")

    async def fetch(self, rows: Sequence[int]) -> list[ChunkRecord]:
        marks = ",".join("?" * len(rows))
        found = self._database.execute(f"SELECT row, text FROM text WHERE row IN ({marks})", rows)  # noqa: S608 - ?s
        return [record(row, text) for row, text in found]

    async def batches(self, partition: str = SHARED) -> AsyncIterator[Batch]:
        with self.vectors.open("wb") as file:
            for start in range(0, self._count, BATCH):
                texts = self.words.texts(min(BATCH, self._count - start), WORDS)
                found = [record(start + n, text) for n, text in enumerate(texts)]
                self._database.executemany("INSERT INTO text VALUES (?, ?)", enumerate(texts, start))
                vectors = self._embedder.embed([one.index_text() for one in found])
                vectors.tofile(file)
                yield found, vectors

    async def generation(self, partition: str) -> int:
        return 1


def record(row: int, text: str) -> ChunkRecord:
    document = document_of(row)
    return ChunkRecord(row, f"c{row}", document, document, document, None, None, 0, len(text), text)


def document_of(row: int) -> str:
    return f"document-{row // CHUNKS_A_DOCUMENT}"


async def measure(count: int, folder: Path) -> None:
    """Print what there is to say of an index of `count` chunks."""
    embedder = WordLlamaEmbedder()
    texts = Texts(folder, count, embedder)
    before = memory_mb()
    index = SearchIndex(Embeddings(embedder), LexicalIndex(folder / "words"), texts)
    began = time.perf_counter()
    await index.load(texts.batches(), generation=1)
    seconds = time.perf_counter() - began
    print(
        f"{count:,} chunks: made and loaded in {seconds:.0f} s; {memory_mb() - before:.0f} MB, at most {most_mb():.0f}"
    )
    questions = texts.words.texts(QUESTIONS, 6)
    some = frozenset(document_of(row) for row in range(0, count, max(count // 20, 1)))
    scopes = (("first time", SHARED_SCOPE), ("again", SHARED_SCOPE), ("20 documents", Scope((SHARED,), only=some)))
    for name, scope in scopes:
        print(line(name, [await timed(index, question, scope) for question in questions]))
    print(f"  memory {memory_mb() - before:.0f} MB more than before")
    await change(index, texts, embedder, count)
    await index.aclose()
    del index
    vectors = np.memmap(texts.vectors, np.float32, "r").reshape(-1, DIMENSIONS)
    alone(vectors, embedder.embed(questions[:100]))


async def timed(index: SearchIndex, question: str, scope: Scope) -> float:
    began = time.perf_counter()
    await index.search(question, 8, scope)
    return time.perf_counter() - began


async def change(index: SearchIndex, texts: Texts, embedder: WordLlamaEmbedder, count: int) -> None:
    """Replace documents; then more than a tenth of all at once, so that the index is built anew."""
    few, many = CHUNKS_A_DOCUMENT, count // 9
    rows = count
    for name, sizes in (("a document replaced", [few] * 10), ("a ninth of all replaced", [many])):
        times = []
        for size in sizes:
            fresh = [record(rows + n, text) for n, text in enumerate(texts.words.texts(size, WORDS))]
            vectors = embedder.embed([one.index_text() for one in fresh])
            began = time.perf_counter()
            await index.replace(SHARED, range(rows - count, rows - count + size), fresh, vectors, generation=rows)
            times.append(time.perf_counter() - began)
            rows += size
        print(line(name, times))


def alone(vectors: Vectors, queries: Vectors) -> None:
    """Print what the vectors' index does by itself: how much of the exact nearest it finds."""
    pile = VectorPile(min(FAISS_FROM, len(vectors) - 1))
    for start in range(0, len(vectors), BATCH):
        pile.add(range(start, min(start + BATCH, len(vectors))), vectors[start : start + BATCH])
    began = time.perf_counter()
    index = pile.snapshot(DIMENSIONS)
    print(f"  {len(vectors):,} vectors alone: built in {time.perf_counter() - began:.2f} s")
    shares, exact, approximate = [], [], []
    for query in queries:
        began = time.perf_counter()
        wanted = set(top_positions(inner_products(vectors, query), NEAREST).tolist())
        exact.append(time.perf_counter() - began)
        began = time.perf_counter()
        found, _ = index.nearest(query, NEAREST)
        approximate.append(time.perf_counter() - began)
        shares.append(len(wanted & set(found.tolist())) / len(wanted))
    print(
        line("all of them", exact),
        line("the index", approximate),
        f"  recall@{NEAREST} {np.mean(shares):.4f}",
        sep="\n",
    )


def real(folder: Path) -> None:
    """Print what the vectors' index does over real texts."""
    documents = [one["text"] for one in lines(folder / "documents.jsonl")]
    texts = list(dict.fromkeys(passage for text in documents for passage in passages(text)))
    embedder = WordLlamaEmbedder()
    alone(embedder.embed(texts), embedder.embed([one["text"] for one in lines(folder / "queries.jsonl")]))


def passages(text: str) -> list[str]:
    """A text, its sentences, two to four of them together, and windows of 25 and 50 words."""
    sentences, words = re.split(r"(?<=[.?!])\s+", text), text.split()
    together = [sentences[at : at + n] for n in (1, 2, 3, 4) for at in range(len(sentences) - n + 1)]
    windows = [words[at : at + n] for n, step in ((25, 5), (50, 7)) for at in range(0, max(len(words) - n, 1), step)]
    return [text, *(" ".join(part) for part in [*together, *windows])]


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(one) for one in path.read_text("utf-8").split("\n") if one.strip()]


def line(name: str, seconds: Sequence[float]) -> str:
    p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
    return f"  {name:24} p50 {p50:8.2f} ms  p95 {p95:8.2f} ms"


def memory_mb() -> float:
    return psutil.Process().memory_info().rss / 2**20


def most_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chunks", nargs="*", type=int, default=[1_000, 100_000])
    parser.add_argument("--texts", type=Path)
    given = parser.parse_args()
    if given.texts:
        real(given.texts)
        return
    for count in given.chunks:
        with TemporaryDirectory() as folder:
            asyncio.run(measure(count, Path(folder)))


if __name__ == "__main__":
    main()
