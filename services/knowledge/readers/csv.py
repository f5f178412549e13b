"""CSV and TSV: a row with its column names on one line, so that a row that is found alone still says what it says.

    name,born        - name: Ada; born: 1815
    Ada,1815    ->   - name: Alan; born: 1912
    Alan,1912

A table of many rows, or one without column names, stays as it is written: names on every line would make it many times
longer.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence

from services.knowledge.extracted import Block, Reading, TextBuilder
from services.knowledge.readers.limits import ReadingLimits

MANY_CHARS = 4 * 1024**2
_SAMPLE = 64 * 1024
_DELIMITERS = ",;\t|"
_FIELD_LIMIT = 1024**2  # characters of a cell; the module's own limit is 128 K
_ROWS_A_BLOCK = 20
_NUMBER = re.compile(r"[-+]?[\d.,\s]*\d%?$")


def read_csv(text: str, limits: ReadingLimits) -> Reading:
    return _read(text, limits, None)


def read_tsv(text: str, limits: ReadingLimits) -> Reading:
    return _read(text, limits, "\t")


def _read(text: str, limits: ReadingLimits, delimiter: str | None) -> Reading:
    rows = None if len(text) > MANY_CHARS else _rows(text, delimiter or _delimiter(text[:_SAMPLE]))
    if not rows or not _is_header(rows[0], rows[1:]):
        return _as_written(text)
    names, *body = rows
    out = TextBuilder(most=limits.text_chars)
    for at in range(0, len(body), _ROWS_A_BLOCK):
        lines = [line for cells in body[at : at + _ROWS_A_BLOCK] if (line := "; ".join(_named(names, cells)))]
        if lines:
            out.block("lines", "".join(f"- {line}\n" for line in lines), after="")
    return out.reading()


def _as_written(text: str) -> Reading:
    begin = len(text) - len(text.lstrip())
    return Reading(text, (Block("lines", begin, len(text)),) if begin < len(text) else ())


def _rows(text: str, delimiter: str) -> list[list[str]]:
    """The rows that hold anything; [] for what is no such table."""
    before = csv.field_size_limit(_FIELD_LIMIT)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        return [cells for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error:
        return []
    finally:
        csv.field_size_limit(before)


def _delimiter(sample: str) -> str:
    """The delimiter that parts most lines into the same number of cells, more than one."""
    lines = [line for line in sample.split("\n")[:100] if line.strip()]

    def agreement(delimiter: str) -> tuple[int, int]:
        counts = [len(cells) for cells in csv.reader(lines, delimiter=delimiter) if len(cells) > 1]
        common = max(set(counts), key=counts.count, default=0)
        return counts.count(common), common

    try:
        return max(_DELIMITERS, key=agreement)
    except csv.Error:
        return ","


def _is_header(first: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names columns: no cell is empty or a number, none comes twice, and rows follow."""
    names = [cell.strip() for cell in first]
    named = all(name and len(name) <= 100 and not _NUMBER.match(name) for name in names)
    return bool(others) and named and len(names) > 1 and len(set(names)) == len(names)


def _named(names: Sequence[str], cells: Sequence[str]) -> Iterator[str]:
    """The cells that hold anything with their names; cells beyond the last name have none."""
    for n, cell in enumerate(cells):
        if value := " ".join(cell.split()):
            yield f"{' '.join(names[n].split())}: {value}" if n < len(names) else value
