"""CSV and TSV: rows that can be read alone."""

import csv
import io
from pathlib import Path

import pytest

from services.knowledge.chunk import chunk
from tests.services.knowledge.readers.made import read

ROWS = [["name", "born", "note"], ["Ada", "1815", 'said "go", then\nwent'], ["", "", ""], ["Alan", "", "x; y"]]
EXPECTED = '- name: Ada; born: 1815; note: said "go", then went\n- name: Alan; note: x; y\n'


def written(rows: list[list[str]], delimiter: str) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue().encode()


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.csv", ";"), ("a.csv", "\t"), ("a.tsv", "\t")])
def test_a_row_has_its_column_names_on_its_line(tmp_path: Path, name: str, delimiter: str) -> None:
    assert read(tmp_path, name, written(ROWS, delimiter)).text == EXPECTED


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", b"\xef\xbb\xbfa,b\r\n1,2\r\n").text == "- a: 1; b: 2\n"


def test_cells_beyond_the_names_are_kept(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", b"a,b\n1,2,3\n").text == "- a: 1; b: 2; 3\n"


@pytest.mark.parametrize(
    "data", [b"1,2\n3,4\n", b"a,a\n1,2\n", b"a,b\n", b"just a line\n", b"a,\n1,2\n", b'a,b\n"' + b"x" * 1_100_000]
)
def test_what_has_no_column_names_stays_as_it_is_written(tmp_path: Path, data: bytes) -> None:
    assert read(tmp_path, "a.csv", data).text.encode() == data


def test_a_large_table_stays_as_it_is_written_and_is_cut_between_rows(tmp_path: Path) -> None:
    data = b"number,word\n" + b"".join(b"%d,harbour\n" % n for n in range(350_000))
    document = read(tmp_path, "a.csv", data)
    assert document.text.encode() == data
    assert all(piece.text.endswith("harbour") for piece in chunk(document, overlap=0)[:-1])


def test_rows_are_cut_between_rows(tmp_path: Path) -> None:
    rows = [["name", "town"], *([f"person {n}", "Marlow on the river"] for n in range(300))]
    chunks = chunk(read(tmp_path, "a.csv", written(rows, ",")), overlap=0)
    assert len(chunks) > 5
    assert all(piece.text.startswith("- name: ") and piece.text.endswith("river") for piece in chunks)
