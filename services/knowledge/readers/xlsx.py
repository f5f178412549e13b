"""Workbooks: a sheet is a section, its rows are those of a Markdown table. Of a formula its last value is read."""

import datetime as dt
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from infrastructure.errors import KnowledgeError
from services.knowledge.extracted import Reading, TextBuilder
from services.knowledge.readers import tables
from services.knowledge.readers.archive import Archive, is_xml_part
from services.knowledge.readers.damage import telling_damage
from services.knowledge.readers.limits import NO_TEXT, ReadingLimits

_SHEET_LEVEL = 2
_ROWS_A_BLOCK = 200


def read_xlsx(data: bytes, limits: ReadingLimits) -> Reading:
    """
    Raises:
        KnowledgeError: encrypted, damaged, without text, or more than `limits` allow.
    """
    from openpyxl import load_workbook  # type: ignore[import-untyped]  # it ships no types

    source = Archive(data, limits).copy(is_xml_part)
    out = TextBuilder(most=limits.text_chars)
    cells = _Cells(limits.cells)
    with telling_damage():
        workbook = load_workbook(source, read_only=True, data_only=True, keep_links=False)
        for sheet in workbook.worksheets:
            sheet.reset_dimensions()  # they are a claim of the file, and often wrong
            _sheet(sheet.title, cells.rows(sheet.iter_rows(values_only=True)), out)
        named = workbook.properties.title
        workbook.close()
    if not out.blocks:
        raise KnowledgeError(NO_TEXT)
    return out.reading(named)


class _Cells:
    """Counts the cells that are read, of all sheets together."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most

    def rows(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[list[str]]:
        """The rows that hold anything, each up to its last cell that does."""
        for values in rows:
            self._left -= len(values) + 1
            if self._left < 0:
                raise KnowledgeError(f"it has more than {self._most} cells")
            texts = [_text(value) for value in values]
            while texts and not texts[-1]:
                texts.pop()
            if texts:
                yield texts


def _sheet(title: str, rows: Iterator[list[str]], out: TextBuilder) -> None:
    first = next(rows, None)
    if first is None:
        return
    out.block("heading", title, level=_SHEET_LEVEL)
    lines = chain([tables.row(first), tables.rule(len(first))], (tables.row(cells) for cells in rows))
    block: list[str] = []
    for line in lines:
        block.append(line)
        if len(block) == _ROWS_A_BLOCK:
            out.block("lines", "\n".join(block), after="\n")
            block = []
    if block:
        out.block("lines", "\n".join(block))


def _text(value: object) -> str:
    """A cell's value as a reader of the sheet would write it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return format(value, ".15g")
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat(" ")
    return str(value).strip()
