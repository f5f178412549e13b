"""PDF: pages, headings, paragraphs, and what cannot be read."""

import io
import zlib
from pathlib import Path

import pytest
from fpdf import FPDF
from pypdf import PdfReader, PdfWriter

from services.knowledge.chunk import chunk
from services.knowledge.readers.limits import ReadingLimits
from tests.services.knowledge.readers.made import SENTENCE, headings, page_texts, pdf_bytes, read, refusal, saved


def written(*lines: str, size: int = 12, width: float = 0) -> bytes:
    pdf = FPDF()
    pdf.add_page()
    pdf.set_font("Helvetica", size=size)
    for line in lines:
        pdf.multi_cell(width, 6, line, new_x="LMARGIN", new_y="NEXT")
    return bytes(pdf.output())


def encrypted(user: str, owner: str) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf_bytes(1))))
    writer.encrypt(user, owner, algorithm="RC4-128")
    return saved(writer.write)


def raw_pdf(content: bytes, extra: bytes = b"") -> bytes:
    """A PDF of one page whose content stream is `content`, deflated; without a table of places: readers rebuild it."""
    packed = zlib.compress(content, 9)
    return (
        b"%%PDF-1.5\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R"
        b"/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>endobj\n"
        b"4 0 obj<</Length %d/Filter/FlateDecode>>stream\n"
        % len(packed)
        + packed
        + b"\nendstream endobj\n"
        + extra
        + b"trailer<</Root 1 0 R>>\n%%EOF"
    )


def test_each_page_has_its_number_and_its_text(tmp_path: Path) -> None:
    document = read(tmp_path, "a.pdf", pdf_bytes(3))
    assert [page.page for page in document.pages] == [1, 2, 3]
    for number, text in enumerate(page_texts(document), 1):
        assert text.startswith(f"Chapter {number}\n\n{SENTENCE.format(1700 + number).strip()}\n\nThe harbour")
        assert text.endswith("the year 1807.")


def test_larger_lines_are_headings_and_full_lines_are_joined(tmp_path: Path) -> None:
    document = read(tmp_path, "a.pdf", pdf_bytes(2))
    assert headings(document) == [(2, "Chapter 1"), (2, "Chapter 2")]
    assert "".join(SENTENCE.format(1800 + n) for n in range(8)).strip() in document.text


def test_the_one_largest_line_is_the_title(tmp_path: Path) -> None:
    pdf = FPDF()
    for page in range(2):
        pdf.add_page()
        for size, words in ((28, "Marlow"), (18, f"Part {page}"), (11, SENTENCE * 20))[page:]:
            pdf.set_font("Helvetica", size=size)
            pdf.multi_cell(0, size / 2, words, new_x="LMARGIN", new_y="NEXT")
    document = read(tmp_path, "a.pdf", bytes(pdf.output()))
    assert document.title == "Marlow"
    assert headings(document) == [(1, "Marlow"), (2, "Part 0"), (2, "Part 1")]


def test_its_own_title_is_taken_before_the_files_name(tmp_path: Path) -> None:
    assert read(tmp_path, "a.pdf", pdf_bytes(2, title="On Harbours")).title == "On Harbours"
    assert read(tmp_path, "on_ports.pdf", pdf_bytes(2)).title == "On ports"


def test_a_chunk_is_on_the_page_it_says(tmp_path: Path) -> None:
    document = read(tmp_path, "a.pdf", pdf_bytes(4))
    spans = {page.page: page for page in document.pages}
    chunks = chunk(document, 300, 50)
    assert {piece.page for piece in chunks} == {1, 2, 3, 4}
    for piece in chunks:
        assert piece.page is not None
        assert spans[piece.page].start <= piece.start < piece.end <= spans[piece.page].end


def test_short_lines_and_list_items_keep_their_breaks(tmp_path: Path) -> None:
    lines = ["Marlow 12", "Oban 7", "- " + SENTENCE * 2, "- second item"]
    text = read(tmp_path, "a.pdf", written(*lines)).text
    assert text.startswith("Marlow 12\nOban 7\n- The harbour")
    assert text.endswith("\n- second item\n\n")


def test_a_word_parted_at_a_lines_end_is_one_word_and_a_compound_keeps_its_hyphen(tmp_path: Path) -> None:
    text = read(
        tmp_path, "a.pdf", written("It was an infor-", "mation about well-", "known North-", "South lines.")
    ).text
    assert "information" in text
    assert "North-South" in text


def test_a_page_without_text_has_an_empty_place(tmp_path: Path) -> None:
    pdf = FPDF()
    pdf.set_font("Helvetica", size=12)
    for words in ("one", "", "three"):
        pdf.add_page()
        if words:
            pdf.cell(0, 10, words)
    document = read(tmp_path, "a.pdf", bytes(pdf.output()))
    assert page_texts(document) == ["one", "", "three"]


def test_a_file_that_needs_a_password_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "a.pdf", encrypted("secret", "owner")) == "it is encrypted"


def test_a_file_that_only_its_owner_may_change_is_read(tmp_path: Path) -> None:
    assert "harbour" in read(tmp_path, "a.pdf", encrypted("", "owner")).text


def test_only_images_are_told_from_nothing(tmp_path: Path) -> None:
    from PIL import Image

    scan = FPDF()
    scan.add_page()
    scan.image(Image.new("RGB", (20, 20), "red"), x=10, y=10, w=50)
    assert "only images" in refusal(tmp_path, "a.pdf", bytes(scan.output()))
    blank = FPDF()
    blank.add_page()
    assert refusal(tmp_path, "a.pdf", bytes(blank.output())) == "it holds no text"


@pytest.mark.parametrize("data", [b"no pdf at all", b"%PDF-1.7\n", pdf_bytes(1)[:400], b"\0" * 100])
def test_a_damaged_file_is_refused(tmp_path: Path, data: bytes) -> None:
    assert refusal(tmp_path, "a.pdf", data) == "it is damaged"


def test_more_pages_or_text_than_allowed_are_refused(tmp_path: Path) -> None:
    data = pdf_bytes(3)
    assert refusal(tmp_path, "a.pdf", data, ReadingLimits(pages=2)) == "it has more than 2 pages"
    assert refusal(tmp_path, "a.pdf", data, ReadingLimits(text_chars=1000)) == "its text is too long"


def test_deep_nesting_does_no_harm(tmp_path: Path) -> None:
    nested = b"q " * 200_000 + b"BT /F 12 Tf 50 700 Td (still here) Tj ET " + b"Q " * 200_000
    assert "still here" in read(tmp_path, "a.pdf", raw_pdf(nested)).text
    array = b"9 0 obj" + b"[" * 200_000 + b"]" * 200_000 + b"endobj\n"
    content = b"BT /F 12 Tf 50 700 Td (and here) Tj ET"
    assert "and here" in read(tmp_path, "a.pdf", raw_pdf(content, array)).text


def test_a_tree_of_pages_that_bites_its_tail_ends(tmp_path: Path) -> None:
    data = raw_pdf(b"BT ET").replace(b"/Kids[3 0 R]/Count 1", b"/Kids[2 0 R 2 0 R]/Count 1000000")
    assert refusal(tmp_path, "a.pdf", data) in ("it holds no text", "it is damaged", "it has more than 5000 pages")
