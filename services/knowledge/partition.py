"""One partition's index: words, vectors and curated questions, changed as a whole and read as a snapshot."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from infrastructure.lexical.tantivy import LexicalDocument, LexicalIndex, LexicalWriter
from infrastructure.vectors.numpy import VectorSnapshot
from infrastructure.vectors.sized import FAISS_FROM, VectorPile, settled
from services.knowledge.curated import CuratedQuestions
from services.knowledge.document_rows import DocumentRows
from services.knowledge.generations import Generations
from services.knowledge.records import ChunkRecord
from services.knowledge.snapshot import Snapshot

Vectors = npt.NDArray[np.float32]


class Change(NamedTuple):
    """Chunks that go and chunks that come, all at once. `vectors` has a row for each of `added`, `questions` one for
    each of those that are curated. It is the last of so many `changes` that lead to `generation`."""

    removed: Sequence[int]
    added: Sequence[ChunkRecord]
    vectors: Vectors
    questions: Vectors
    generation: int
    changes: int = 1

    def without_additions(self) -> "Change":
        return self._replace(added=(), vectors=self.vectors[:0], questions=self.questions[:0])


class Partition:
    """The chunks of one partition. All but `snapshot` block: they are called in one thread, one at a time.

    With more than `faiss_from` chunks the vectors have an index. Once it has been outgrown a change builds it anew, for
    up to 20 µs a chunk; what has changed is found from before that.
    """

    def __init__(self, lexical: LexicalIndex, dimensions: int, faiss_from: int = FAISS_FROM) -> None:
        self.lexical = lexical
        self.dimensions = dimensions
        self.held = Generations()
        """The partition's changes that are here."""
        self._faiss_from = faiss_from
        nothing = np.empty((0, dimensions), np.float32)
        empty = VectorSnapshot.empty(dimensions)
        self.snapshot = Snapshot(lexical.snapshot, empty, CuratedQuestions.of((), nothing))

    def replace(
        self,
        removed: Sequence[int],
        added: Sequence[ChunkRecord],
        vectors: Vectors,
        questions: Vectors,
        generation: int,
        changes: int = 1,
    ) -> None:
        """Remove and add chunks at once. `questions` has the vectors of those of `added` that are curated. Where other
        changes are not here yet, the lexical index does not pass for one of `generation`.
        """
        old = self.snapshot
        rows = [record.row for record in added]
        entries = [record for record in added if record.question]
        fresh = old.vectors.replace(removed, rows, vectors)
        curated = old.curated.replace(removed, entries, questions)
        rows_of = old.rows_of.replace(removed, added).tidied(fresh.size, lambda some: fresh.positions(some) >= 0)
        self.held.note(generation, changes)
        self.lexical.update([*removed, *rows], map(lexical_document, added), generation=self.held.whole)
        self.snapshot = Snapshot(self.lexical.snapshot, fresh, curated, rows_of)
        if (kept := settled(fresh, self._faiss_from)) is not fresh:
            self.snapshot = replace(self.snapshot, vectors=kept)

    def reach(self, generation: int) -> None:
        """All changes up to `generation` are here."""
        self.held.reach(generation)
        self.lexical.relabel(self.held.whole)

    def rows_of(self, documents: Collection[str]) -> tuple[frozenset[int], frozenset[int]]:
        """The rows of documents that are here in whole, and those of which anything is here."""
        snapshot = self.snapshot
        rows = snapshot.rows_of.rows(documents)
        vectors = frozenset(rows[snapshot.vectors.positions(rows) >= 0].tolist())
        words = frozenset(snapshot.lexical.rows_of(documents).tolist())
        return vectors & words, vectors | words

    def load(self, loading: "Loading", questions: Vectors, generation: int) -> None:
        """Take in what was read, in place of what is there."""
        loading.commit(generation)
        self.held = Generations(generation)
        curated = CuratedQuestions.of(loading.curated, questions)
        vectors = loading.vectors.snapshot(self.dimensions)
        self.snapshot = Snapshot(self.lexical.snapshot, vectors, curated, loading.rows_of)


class Loading:
    """What has been read of a partition so far. `lexical` is given when it has to be built."""

    def __init__(self, lexical: LexicalIndex | None, faiss_from: int = FAISS_FROM) -> None:
        self._lexical = lexical
        self._writer: LexicalWriter | None = None
        self.vectors = VectorPile(faiss_from)
        self.curated: list[ChunkRecord] = []
        self.rows_of = DocumentRows()

    def add(self, records: Sequence[ChunkRecord], vectors: Vectors) -> None:
        self.vectors.add([record.row for record in records], vectors)
        self.curated.extend(record for record in records if record.question)
        self.rows_of = self.rows_of.replace([], records)
        if self._lexical:
            self._open(self._lexical).add(map(lexical_document, records))

    def commit(self, generation: int) -> None:
        if self._lexical:
            self._open(self._lexical).commit(generation)

    def close(self) -> None:
        if self._writer:
            self._writer.close()

    def _open(self, lexical: LexicalIndex) -> LexicalWriter:
        if not self._writer:
            self._writer = lexical.write()
            self._writer.remove_all()
        return self._writer


def lexical_document(record: ChunkRecord) -> LexicalDocument:
    """A curated question weighs as a title does: it is what the entry is about."""
    return LexicalDocument(
        record.row, record.document_id, record.question or record.title, record.section or "", record.text
    )
