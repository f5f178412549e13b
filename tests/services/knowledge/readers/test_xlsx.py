"""Workbooks: sheets, rows, and what cells hold."""

from pathlib import Path

from openpyxl import Workbook

from services.knowledge.readers.limits import ReadingLimits
from tests.services.knowledge.readers.made import headings, member, read, refusal, saved, with_members, xlsx_bytes

SHEET = "xl/worksheets/sheet1.xml"


def test_a_sheet_is_a_section_and_a_row_a_line(tmp_path: Path) -> None:
    document = read(tmp_path, "ships.xlsx", xlsx_bytes())
    assert document.text == (
        "Ships\n\n| Name | Built | Length | Afloat |\n| --- | --- | --- | --- |\n"
        "| Aurora | 1912-05-01 | 31.5 | TRUE |\n| Borealis\\|2 | 1913-06-02 07:30:00 | 40 | FALSE |\n\n"
        "Ports\n\n| Marlow |\n| --- |\n\n"
    )
    assert headings(document) == [(2, "Ships"), (2, "Ports")]
    assert document.title == "Ships"


def test_of_a_formula_the_last_value_is_read(tmp_path: Path) -> None:
    data = xlsx_bytes()
    name = "xl/worksheets/sheet3.xml"
    sheet = member(data, name)
    assert b"<v></v>" in sheet or b"<v />" in sheet or b"<v/>" in sheet
    for nothing in (b"<v></v>", b"<v />", b"<v/>"):
        sheet = sheet.replace(nothing, b"<v>2</v>")
    assert "| Marlow | 2 |" in read(tmp_path, "a.xlsx", with_members(data, {name: sheet})).text


def test_a_wrong_dimension_hides_nothing(tmp_path: Path) -> None:
    data = xlsx_bytes()
    sheet = member(data, SHEET).replace(b'<dimension ref="A1:D4" />', b'<dimension ref="A1" />')
    sheet = sheet.replace(b'<dimension ref="A1:D4"/>', b'<dimension ref="A1"/>')
    assert b"A1:D4" not in sheet
    assert "Borealis" in read(tmp_path, "a.xlsx", with_members(data, {SHEET: sheet})).text


def test_many_rows_are_all_there(tmp_path: Path) -> None:
    book = Workbook(write_only=True)
    sheet = book.create_sheet("Many")
    for number in range(1, 1001):
        sheet.append([f"row {number}", number])
    text = read(tmp_path, "a.xlsx", saved(book.save)).text
    assert text.count("\n| row ") == 1000


def test_what_is_empty_or_damaged_or_has_too_many_cells_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "a.xlsx", saved(Workbook().save)) == "it holds no text"
    data = xlsx_bytes()
    assert refusal(tmp_path, "a.xlsx", data, ReadingLimits(cells=10)) == "it has more than 10 cells"
    assert refusal(tmp_path, "a.xlsx", with_members(data, {SHEET: b"<worksheet"})) == "it is damaged"
    assert refusal(tmp_path, "a.xlsx", with_members(data, {"xl/workbook.xml": b"<a/>"})) == "it holds no text"


def test_a_sheet_of_far_apart_cells_is_bounded(tmp_path: Path) -> None:
    book = Workbook(write_only=True)
    sheet = book.create_sheet("Wide")
    for _ in range(20):
        sheet.append([*[None] * 16_000, "far"])
    data = saved(book.save)
    assert refusal(tmp_path, "a.xlsx", data, ReadingLimits(cells=100_000)) == "it has more than 100000 cells"
