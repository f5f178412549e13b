"""Files of every type, made by real writers of that type, and archives made to do harm."""

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from infrastructure.errors import KnowledgeError
from services.knowledge.extract import MEDIA_TYPES, extract_file
from services.knowledge.extracted import ExtractedDocument
from services.knowledge.readers.limits import ReadingLimits

SENTENCE = "The harbour of Marlow froze in the winter of the year {}. "


def read(tmp_path: Path, name: str, data: bytes, limits: ReadingLimits | None = None) -> ExtractedDocument:
    """Read `data` as it would be read when uploaded under `name`."""
    path = tmp_path / "upload"
    path.write_bytes(data)
    return extract_file(path, name, MEDIA_TYPES["." + name.rsplit(".", 1)[1]], limits or ReadingLimits())


def refusal(tmp_path: Path, name: str, data: bytes, limits: ReadingLimits | None = None) -> str:
    """The reason for which `data` is not read."""
    try:
        read(tmp_path, name, data, limits)
    except KnowledgeError as error:
        return error.message
    raise AssertionError("it was read")


def headings(document: ExtractedDocument) -> list[tuple[int, str]]:
    return [(block.level, block.heading) for block in document.blocks if block.kind == "heading"]


def page_texts(document: ExtractedDocument) -> list[str]:
    return [document.text[page.start : page.end] for page in document.pages]


def pdf_bytes(pages: int = 3, title: str = "") -> bytes:
    """A heading and two paragraphs on each page, the second of several lines."""
    from fpdf import FPDF

    pdf = FPDF()
    if title:
        pdf.set_title(title)
    for number in range(1, pages + 1):
        pdf.add_page()
        pdf.set_font("Helvetica", size=18)
        pdf.cell(0, 12, f"Chapter {number}", new_x="LMARGIN", new_y="NEXT")
        pdf.set_font("Times", size=11)
        pdf.multi_cell(0, 5, SENTENCE.format(1700 + number))
        pdf.ln(6)
        pdf.multi_cell(0, 5, "".join(SENTENCE.format(1800 + n) for n in range(8)).strip())
    return bytes(pdf.output())


def docx_bytes() -> bytes:
    import docx

    document = docx.Document()
    document.add_heading("Annual report", 0)
    document.add_paragraph("An introduction.")
    document.add_heading("Results", 1)
    document.add_paragraph("Sales rose.")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ["Year", "Sum | total", "2024", "12\n500"], strict=True):
        cell.text = text
    document.add_paragraph("First point", style="List Bullet")
    document.add_paragraph("Second point", style="List Number")
    document.add_heading("By region", 2)
    document.add_paragraph("The north sold most.")
    return saved(document.save)


def pptx_bytes() -> bytes:
    from pptx import Presentation
    from pptx.util import Inches

    presentation = Presentation()
    first = presentation.slides.add_slide(presentation.slide_layouts[0])
    first.shapes.title.text = "The plan"
    first.placeholders[1].text = "For next year"
    second = presentation.slides.add_slide(presentation.slide_layouts[5])
    second.shapes.title.text = "Budget"
    table = second.shapes.add_table(2, 2, *[Inches(1)] * 4).table
    for cell, text in zip(table.iter_cells(), ["Item", "Cost", "Boat", "90"], strict=True):
        cell.text = text
    group = second.shapes.add_group_shape()
    group.shapes.add_textbox(*[Inches(1)] * 4).text_frame.text = "Grouped words"
    second.notes_slide.notes_text_frame.text = "Mention the harbour."
    presentation.slides.add_slide(presentation.slide_layouts[6])
    third = presentation.slides.add_slide(presentation.slide_layouts[1])
    third.shapes.title.text = "Points"
    third.placeholders[1].text = "One\nTwo"
    return saved(presentation.save)


def xlsx_bytes() -> bytes:
    import datetime as dt

    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    sheet.title = "Ships"
    sheet.append(["Name", "Built", "Length", "Afloat"])
    sheet.append(["Aurora", dt.datetime(1912, 5, 1), 31.5, True])
    sheet.append([None, None, None, None])
    sheet.append(["Borealis|2", dt.datetime(1913, 6, 2, 7, 30), 40.0, False])
    book.create_sheet("Empty")
    book.create_sheet("Ports").append(["Marlow", "=1+1"])
    return saved(book.save)


def epub_bytes() -> bytes:
    """Written by pandoc."""
    import pypandoc

    source = (
        "---\ntitle: The Book\n---\n\n# One\n\nIt began in *Marlow*.\n\n- a point\n\n# Two\n\n## Part\n\nIt went on.\n"
    )
    path = Path(pypandoc.get_pandoc_path())
    import subprocess

    done = subprocess.run(
        [path, "-f", "markdown", "-t", "epub", "-o", "-"], input=source.encode(), capture_output=True, check=True
    )
    return done.stdout


def saved(save: Callable[[io.BytesIO], object]) -> bytes:
    out = io.BytesIO()
    save(out)
    return out.getvalue()


def with_members(archive: bytes, changed: Mapping[str, bytes]) -> bytes:
    """`archive` with some members replaced or added."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in changed:
                new.writestr(name, old.read(name))
        for name, data in changed.items():
            new.writestr(name, data)
    return out.getvalue()


def member(archive: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return opened.read(name)
