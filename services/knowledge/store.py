"""The chunks' records in memory, up to a bound of bytes: what was not used longest goes, and is fetched again."""

import sys
from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock

from services.knowledge.records import ChunkRecord

_OVERHEAD_BYTES = 1000  # of a record with its ids and names, beside its text


class RecordStore:
    """Records by row. Safe to use from several threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._records: OrderedDict[int, ChunkRecord] = OrderedDict()
        self._lock = Lock()

    def get(self, rows: Iterable[int]) -> dict[int, ChunkRecord]:
        """Those of `rows` that are here."""
        with self._lock:
            found = {row: self._records[row] for row in rows if row in self._records}
            for row in found:
                self._records.move_to_end(row)
            return found

    def put(self, records: Iterable[ChunkRecord]) -> None:
        with self._lock:
            for record in records:
                self._drop(record.row)
                self._records[record.row] = record
                self._bytes += _size(record)
            while self._bytes > self._max_bytes and self._records:
                self._bytes -= _size(self._records.popitem(last=False)[1])

    def remove(self, rows: Iterable[int]) -> None:
        with self._lock:
            for row in rows:
                self._drop(row)

    def _drop(self, row: int) -> None:
        record = self._records.pop(row, None)
        if record:
            self._bytes -= _size(record)


def _size(record: ChunkRecord) -> int:
    return sys.getsizeof(record.text) + _OVERHEAD_BYTES
