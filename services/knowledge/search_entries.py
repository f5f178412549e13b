"""Chunks as PostgreSQL searches them: analysed, weighed and in the server's form. Pure computation, for a thread."""

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2s
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from infrastructure.database.repositories.search_changes import ChunkEntry, Lengths, QuestionEntry
from infrastructure.vectors.pgvector import halfvec_rows, sparsevec_bytes, tsvector_bytes
from services.knowledge.bm25 import ChunkTerms, chunk_terms, weights
from services.knowledge.curated import plain
from services.knowledge.records import ChunkRecord
from services.knowledge.text import TextAnalysis

Vectors = npt.NDArray[np.float32]


class Entries(NamedTuple):
    """What is added to the tables for some chunks. `held`: how many of them hold each term."""

    chunks: list[ChunkEntry]
    questions: list[QuestionEntry]
    lengths: Lengths
    held: Counter[str]


def entries(
    partition: str,
    records: Sequence[ChunkRecord],
    vectors: Vectors,
    questions: Vectors,
    analysis: TextAnalysis,
    before: Lengths,
) -> Entries:
    """`vectors` has a row for each record and `questions` one for each that is curated. `before`: how long the chunks
    were that were added to the partition earlier."""
    lacking = {record.row for record, known in zip(records, has_vector(vectors), strict=True) if not known}
    curated = [record for record in records if record.question]
    lacking |= {record.row for record, known in zip(curated, has_vector(questions), strict=True) if not known}
    analysed = [chunk_terms(record, analysis) for record in records]
    added = _measured(analysed)
    total = Lengths(*(one + other for one, other in zip(before, added, strict=True)))
    held: Counter[str] = Counter()
    chunks = []
    for record, terms, embedding in zip(records, analysed, halfvec_rows(vectors), strict=True):
        weighed = weights(terms, total)
        held.update(weighed.keys())
        lexemes = tsvector_bytes((*weighed, mark(partition)))
        weighing = sparsevec_bytes(weighed.items())
        embedded = record.row not in lacking
        chunks.append(ChunkEntry(record.row, partition, record.document_id, lexemes, weighing, embedding, embedded))
    asked = [
        QuestionEntry(record.row, partition, record.document_id, plain_key(record.question or ""), embedding)
        for record, embedding in zip(curated, halfvec_rows(questions), strict=True)
    ]
    return Entries(chunks, asked, added, held)


def has_vector(vectors: Vectors) -> list[bool]:
    """Whether each row is more than zeros."""
    found: list[bool] = np.any(vectors, axis=1).tolist()
    return found


def mark(partition: str) -> str:
    """A lexeme that all chunks of a partition hold, and no text: so the index of words knows partitions too."""
    return f"={partition}"


def plain_key(question: str) -> str:
    """The same for two questions that differ in nothing that counts; as short for a long one."""
    return blake2s(plain(question).encode(), digest_size=16).hexdigest()


def _measured(analysed: Sequence[ChunkTerms]) -> Lengths:
    return (
        Lengths(len(analysed), *(sum(map(len, field)) for field in zip(*analysed, strict=True)))
        if analysed
        else Lengths()
    )
