"""BM25 over chunks with tantivy: on disk in a folder, or in memory.

The index is derived data: its generation is stored beside it, and whoever owns the chunks rebuilds it when that differs
from theirs, or is missing. One process writes to a folder: others that are given the same one take folders beside it.
"""

import json
import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import structlog
from tantivy import Document, Index, IndexWriter, Occur, Query, Schema, SchemaBuilder, Searcher

from infrastructure.lexical.analysis import FORMAT, build_analyzer, widen_spelling
from infrastructure.lexical.lock import own_folder

_logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

MAX_QUERY_TERMS = 64
FIELD_BOOSTS = {"body": 1.0, "title": 0.5, "section": 0.5}
_ANALYZER = "askgraph_en"
_WRITER_HEAP_BYTES = 15_000_000  # tantivy's least, for one thread
_STATE_FILE = "askgraph.json"


@dataclass(frozen=True, slots=True)
class LexicalDocument:
    """What is indexed of a chunk. `row` is its key, `document` the id of what it is a piece of."""

    row: int
    document: str
    title: str
    section: str
    body: str


class LexicalSnapshot:
    """The index as it was at one commit. Searching it needs no lock."""

    def __init__(self, searcher: Searcher, schema: Schema) -> None:
        self._searcher = searcher
        self._schema = schema
        self.size: int = searcher.num_docs

    def search(
        self,
        terms: Sequence[str],
        limit: int,
        boosts: Sequence[float] | None = None,
        documents: Collection[str] | None = None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Rows and BM25 scores (k1 1.2, b 0.75, fields weighted by `FIELD_BOOSTS`) of the best `limit` chunks that
        hold any of the analysed `terms`, best first. Terms beyond `MAX_QUERY_TERMS` are not looked at.

        `boosts` has a factor for each of `terms`. With `documents` only chunks of these are looked at.
        """
        wanted = dict(zip(terms, boosts or repeat(1.0), strict=False))
        if not wanted or not self.size or limit < 1:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        some = islice(wanted.items(), MAX_QUERY_TERMS)
        query = Query.boolean_query([(Occur.Should, part) for term in some for part in self._term_queries(*term)])
        if documents is not None:
            query = self._within(query, documents)
        hits = self._searcher.search(query, min(limit, self.size), count=False).hits
        rows = self._searcher.fast_field_values("row", [address for _, address in hits])
        return np.array(rows, np.int64), np.array([score for score, _ in hits], np.float32)

    def rows_of(self, documents: Collection[str]) -> npt.NDArray[np.int64]:
        """The rows of all chunks of `documents`, in no order."""
        if not documents or not self.size:
            return np.empty(0, np.int64)
        hits = self._searcher.search(self._of(documents), self.size, count=False).hits
        return np.array(self._searcher.fast_field_values("row", [address for _, address in hits]), np.int64)

    def document_frequency(self, term: str) -> int:
        """How many chunks hold `term`: in the field that has it most often, as fields repeat each other. Chunks that
        were removed count until tantivy merges their segment, so it can be more than `size`.
        """
        return max(self._searcher.doc_freq(name, term) for name in FIELD_BOOSTS)

    def _term_queries(self, term: str, factor: float) -> list[Query]:
        queries = []
        for name, boost in FIELD_BOOSTS.items():
            query = Query.term_query(self._schema, name, term, "freq")
            queries.append(query if boost * factor == 1.0 else Query.boost_query(query, boost * factor))
        return queries

    def _within(self, query: Query, documents: Collection[str]) -> Query:
        """`query`, where it is met in one of `documents`; that they hold a chunk adds nothing to its score."""
        return Query.boolean_query([(Occur.Must, self._of(documents)), (Occur.Must, query)])

    def _of(self, documents: Collection[str]) -> Query:
        return Query.const_score_query(Query.term_set_query(self._schema, "document", list(documents)), 0.0)


class LexicalIndex:
    """A BM25 index that one process writes. All but `snapshot` block: call them in a thread, one at a time."""

    def __init__(self, folder: Path | None) -> None:
        self.generation: int | None = None
        """What the chunks' owner called the state that is indexed; None while there is none."""
        self._schema = _schema()
        owned = own_folder(folder) if folder else None
        if folder and not owned:
            _logger.warning("lexical_index_in_memory", reason="the folder cannot be written, or too many want it")
        self._lock = owned[1] if owned else None
        self._folder = owned[0] / "bm25" if owned else None
        self._index = self._open() or self._create()
        self.snapshot = self._take_snapshot()

    def update(self, removed: Iterable[int], added: Iterable[LexicalDocument], *, generation: int) -> None:
        """Remove rows and add documents in one commit; `snapshot` is the new state afterwards."""
        with self.write() as writer:
            writer.remove(removed)
            writer.add(added)
            writer.commit(generation)

    def write(self) -> "LexicalWriter":
        """A writer for a change that comes in several parts. One at a time; nothing is seen before its commit."""
        return LexicalWriter(
            self._index.writer(heap_size=_WRITER_HEAP_BYTES, num_threads=1), self._schema, self._committed
        )

    def close(self) -> None:
        """Let another process own the folder."""
        if self._lock:
            self._lock.release()

    def _open(self) -> Index | None:
        """The index on disk, if it is whole and of our format."""
        if not self._folder or not (self._folder / _STATE_FILE).exists():
            return None
        try:
            state = json.loads((self._folder / _STATE_FILE).read_bytes())
            index = Index(self._schema, path=str(self._folder), reuse=True)
            _prepare(index)
            if (state["format"], state["documents"]) == (FORMAT, index.searcher().num_docs):
                self.generation = int(state["generation"])
                return index
        except (OSError, ValueError, KeyError, TypeError) as error:
            _logger.warning("lexical_index_unreadable", error=type(error).__name__)
        return None

    def _create(self) -> Index:
        if self._folder is None:
            index = Index(self._schema)
        else:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True, exist_ok=True)
            index = Index(self._schema, path=str(self._folder), reuse=False)
        _prepare(index)
        return index

    def _take_snapshot(self) -> LexicalSnapshot:
        return LexicalSnapshot(self._index.searcher(), self._schema)

    def relabel(self, generation: int) -> None:
        """Call the state that is indexed by another name."""
        if self.generation not in (None, generation):
            self._label(generation)

    def doubt(self) -> None:
        """Have it built anew by the next who loads it."""
        self.generation = None

    def _committed(self, generation: int) -> None:
        """A crash between a commit and this leaves a generation that differs, so that the index is built anew."""
        self._index.reload()
        self.snapshot = self._take_snapshot()
        self._label(generation)

    def _label(self, generation: int) -> None:
        self.generation = generation
        if self._folder:
            state = {"format": FORMAT, "generation": generation, "documents": self.snapshot.size}
            fresh = self._folder / f"{_STATE_FILE}.new"
            fresh.write_text(json.dumps(state), "utf-8")
            fresh.replace(self._folder / _STATE_FILE)


class LexicalWriter:
    """Changes that become visible together. Leaving its `with` ends it; what is not committed by then is dropped."""

    def __init__(self, writer: IndexWriter, schema: Schema, committed: Callable[[int], None]) -> None:
        self._writer = writer
        self._schema = schema
        self._committed = committed
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def remove_all(self) -> None:
        self._writer.delete_all_documents()

    def remove(self, rows: Iterable[int]) -> None:
        if gone := list(rows):
            self._writer.delete_documents_by_query(Query.term_set_query(self._schema, "row", gone))

    def add(self, documents: Iterable[LexicalDocument]) -> None:
        for document in documents:
            self._writer.add_document(_document(document))

    def commit(self, generation: int) -> None:
        """Make all of it visible, and end the writer: that gives back its heap and its lock."""
        self._writer.commit()
        self._end()
        self._committed(generation)

    def close(self) -> None:
        if not self._ended:
            self._writer.rollback()
            self._end()

    def _end(self) -> None:
        self._ended = True
        self._writer.wait_merging_threads()


def _schema() -> Schema:
    builder = SchemaBuilder()
    builder.add_unsigned_field("row", indexed=True, fast=True)
    builder.add_text_field("document", tokenizer_name="raw", index_option="basic")
    for name in FIELD_BOOSTS:
        builder.add_text_field(name, tokenizer_name=_ANALYZER, index_option="freq")
    return builder.build()


def _prepare(index: Index) -> None:
    """Give the index its analyzer, and no thread that watches its files: `update` knows when they change."""
    index.register_tokenizer(_ANALYZER, build_analyzer())
    index.config_reader("manual")
    index.reload()


def _document(source: LexicalDocument) -> Document:
    document = Document()
    document.add_unsigned("row", source.row)
    document.add_text("document", source.document)
    document.add_text("title", widen_spelling(source.title))
    document.add_text("section", widen_spelling(source.section))
    document.add_text("body", widen_spelling(source.body))
    return document
