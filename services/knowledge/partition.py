"""One partition's index: words, vectors and curated questions, changed as a whole and read as a snapshot."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from infrastructure.lexical.tantivy import LexicalDocument, LexicalIndex, LexicalWriter
from infrastructure.vectors.numpy import VectorSnapshot
from services.knowledge.curated import CuratedQuestions
from services.knowledge.records import ChunkRecord
from services.knowledge.snapshot import Snapshot

Vectors = npt.NDArray[np.float32]
_Rows = npt.NDArray[np.int64]


class Partition:
    """The chunks of one partition. All but `snapshot` block: they are called in one thread, one at a time."""

    def __init__(self, lexical: LexicalIndex, dimensions: int) -> None:
        self.lexical = lexical
        self.dimensions = dimensions
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
    ) -> None:
        """Remove and add chunks at once. `questions` has the vectors of those of `added` that are curated."""
        old = self.snapshot
        rows = [record.row for record in added]
        entries = [record for record in added if record.question]
        fresh = old.vectors.replace(removed, rows, vectors)
        curated = old.curated.replace(removed, entries, questions)
        rows_of = _without(old.rows_of, [*removed, *rows]) | _rows_of(added)
        self.lexical.update([*removed, *rows], map(lexical_document, added), generation=generation)
        self.snapshot = Snapshot(self.lexical.snapshot, fresh, curated, rows_of)

    def load(self, loading: "Loading", questions: Vectors, generation: int) -> None:
        """Take in what was read, in place of what is there."""
        loading.commit(generation)
        vectors = VectorSnapshot.empty(self.dimensions)
        if loading.rows:
            vectors = vectors.replace([], loading.rows, np.concatenate(loading.vectors))
        curated = CuratedQuestions.of(loading.curated, questions)
        rows_of = {document: np.array(rows, np.int64) for document, rows in loading.rows_of.items()}
        self.snapshot = Snapshot(self.lexical.snapshot, vectors, curated, rows_of)


class Loading:
    """What has been read of a partition so far. `lexical` is given when it has to be built."""

    def __init__(self, lexical: LexicalIndex | None) -> None:
        self._lexical = lexical
        self._writer: LexicalWriter | None = None
        self.rows: list[int] = []
        self.vectors: list[Vectors] = []
        self.curated: list[ChunkRecord] = []
        self.rows_of: dict[str, list[int]] = {}

    def add(self, records: Sequence[ChunkRecord], vectors: Vectors) -> None:
        self.rows.extend(record.row for record in records)
        self.vectors.append(vectors)
        self.curated.extend(record for record in records if record.question)
        for record in records:
            self.rows_of.setdefault(record.document_id, []).append(record.row)
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


def _rows_of(records: Sequence[ChunkRecord]) -> dict[str, _Rows]:
    found: dict[str, list[int]] = {}
    for record in records:
        found.setdefault(record.document_id, []).append(record.row)
    return {document: np.array(rows, np.int64) for document, rows in found.items()}


def _without(rows_of: Mapping[str, _Rows], gone: Sequence[int]) -> dict[str, _Rows]:
    """Documents that have a row left, with those rows."""
    if not gone:
        return dict(rows_of)
    left = {document: rows[~np.isin(rows, gone)] for document, rows in rows_of.items()}
    return {document: rows for document, rows in left.items() if rows.size}
