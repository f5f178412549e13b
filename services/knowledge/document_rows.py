"""Which rows a document's chunks have, for all documents: changed at the cost of the change."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from services.knowledge.records import ChunkRecord

Rows = npt.NDArray[np.int64]
_LEAST_GONE = 1000


class DocumentRows:
    """Rows by the document's id. Never changed once made. Rows that are gone may linger, as finding whose they were
    would mean a look at every document: whoever has the vectors knows which are there.

    It is made of dictionaries, later ones going before earlier. A change adds one; of two that are alike in size one is
    made, so a document is copied few times.
    """

    def __init__(self, layers: Sequence[Mapping[str, Rows]] = (), gone: int = 0) -> None:
        self._layers = tuple(layers)
        self._gone = gone

    @classmethod
    def of(cls, records: Iterable[ChunkRecord]) -> "DocumentRows":
        return cls([grouped(records)])

    def among(self, documents: Collection[str]) -> frozenset[str]:
        """Those of `documents` that are here."""
        return frozenset(one for one in documents if self._of(one) is not None)

    def rows(self, documents: Collection[str]) -> Rows:
        """The rows of all of `documents`, ascending in each."""
        found = [rows for one in documents if (rows := self._of(one)) is not None]
        return np.concatenate([np.empty(0, np.int64), *found])

    def replace(self, removed: Sequence[int], added: Iterable[ChunkRecord]) -> "DocumentRows":
        """Without the rows of `removed` in the documents that `added` are of, and with these."""
        fresh = grouped(added)
        for document, rows in fresh.items():
            if (before := self._of(document)) is not None:
                fresh[document] = np.union1d(before[~np.isin(before, removed)], rows)
        return DocumentRows(_merged([*self._layers, fresh]), self._gone + len(removed))

    def tidied(self, size: int, is_here: Callable[[Rows], npt.NDArray[np.bool_]]) -> "DocumentRows":
        """Without the rows that are gone, if they may be as many as half of `size`, which are here."""
        if self._gone <= max(_LEAST_GONE, size // 2):
            return self
        every = {document: rows for layer in self._layers for document, rows in layer.items()}
        here = is_here(np.concatenate([np.empty(0, np.int64), *every.values()]))
        kept, at = {}, 0
        for document, rows in every.items():
            if (left := rows[here[at : at + len(rows)]]).size:
                kept[document] = left
            at += len(rows)
        return DocumentRows([kept])

    def _of(self, document: str) -> Rows | None:
        for layer in reversed(self._layers):
            if (rows := layer.get(document)) is not None:
                return rows
        return None


def grouped(records: Iterable[ChunkRecord]) -> dict[str, Rows]:
    """The rows of each document."""
    found: dict[str, list[int]] = {}
    for record in records:
        found.setdefault(record.document_id, []).append(record.row)
    return {document: np.array(rows, np.int64) for document, rows in found.items()}


def _merged(layers: Sequence[Mapping[str, Rows]]) -> list[Mapping[str, Rows]]:
    few: list[Mapping[str, Rows]] = []
    for layer in layers:
        if layer:
            few.append(layer)
        while len(few) > 1 and 2 * len(few[-1]) >= len(few[-2]):
            few[-2:] = [{**few[-2], **few[-1]}]
    return few
