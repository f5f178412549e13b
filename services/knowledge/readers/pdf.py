"""PDF: its text page by page, as PDFium finds it, with headings told by their size and paragraphs by the room around
their lines.

A paragraph's lines are joined with a space where the line was full, because then the page's width broke it; a short
line (of a table, an address, code) keeps its break. A word that was parted at a line's end is one word again.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from infrastructure.errors import KnowledgeError
from services.knowledge.extracted import Reading, TextBuilder, as_sections
from services.knowledge.readers.limits import DAMAGED, ENCRYPTED, NO_TEXT, ONLY_IMAGES, TOO_LONG, ReadingLimits
from services.knowledge.readers.pdf_lines import Line, page_lines

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

_PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD
_SECURITY_ERROR = 5  # FPDF_ERR_SECURITY: a way of encrypting that is not known
_PAGES_SEARCHED_FOR_IMAGES = 20
_LARGER = 1.12  # a heading's height to that of the body
_LONGEST_HEADING = 200  # characters
_MOST_OF_A_TEXT = 0.25  # of a text's characters in headings: with more, sizes tell nothing
_LEVELS = 3
_NEW_PARAGRAPH = 1.45  # the usual distance between two lines, times this
_FULL_LINE = 0.85
_ITEM = re.compile(r"(?:[•‣◦▪●·–*-]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s")  # noqa: RUF001 -- marks that begin list items


class _Page(NamedTuple):
    number: int
    lines: list[Line]


@dataclass(frozen=True, slots=True)
class _Paragraph:
    text: str
    level: int  # of a heading, else 0


def read_pdf(data: bytes, limits: ReadingLimits) -> Reading:
    """
    Raises:
        KnowledgeError: encrypted, damaged, without text, or with more pages or text than `limits` allow.
    """
    document = _open(data)
    try:
        if len(document) > limits.pages:
            raise KnowledgeError(f"it has more than {limits.pages} pages")
        pages = list(_pages(document, limits))
        if not any(page.lines for page in pages):
            raise KnowledgeError(ONLY_IMAGES if _has_images(document) else NO_TEXT)
        named = document.get_metadata_value("Title")
    finally:
        document.close()
    return _reading(pages, limits, named)


def _open(data: bytes) -> "PdfDocument":
    from pypdfium2 import PdfDocument, PdfiumError

    try:
        return PdfDocument(data)
    except PdfiumError as error:
        reason = ENCRYPTED if error.err_code in (_PASSWORD_ERROR, _SECURITY_ERROR) else DAMAGED
        raise KnowledgeError(reason) from error


def _pages(document: "PdfDocument", limits: ReadingLimits) -> Iterator[_Page]:
    """Each page's lines; a page that is damaged alone has none."""
    from pypdfium2 import PdfiumError

    spent = 0
    for number in range(len(document)):
        try:
            page = document[number]
        except PdfiumError:
            yield _Page(number + 1, [])
            continue
        lines = list(page_lines(page))
        page.close()
        spent += sum(len(line.text) for line in lines)
        if spent > limits.text_chars:
            raise KnowledgeError(TOO_LONG)
        yield _Page(number + 1, lines)


def _has_images(document: "PdfDocument") -> bool:
    import pypdfium2.raw as pdfium
    from pypdfium2 import PdfiumError

    for number in range(min(len(document), _PAGES_SEARCHED_FOR_IMAGES)):
        try:
            if next(document[number].get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE]), None):
                return True
        except PdfiumError:
            continue
    return False


def _reading(pages: Sequence[_Page], limits: ReadingLimits, named: str) -> Reading:
    out = TextBuilder(most=limits.text_chars)
    levels = _heading_levels([line for page in pages for line in page.lines])
    for page in pages:
        out.begin_page(page.number)
        for paragraph in _paragraphs(page.lines, levels):
            if paragraph.level:
                out.block("heading", paragraph.text, level=paragraph.level)
            else:
                out.block("prose", paragraph.text)
        out.end_page()
    reading = out.reading()
    blocks = as_sections(reading.blocks)
    title = next((block.heading for block in blocks if block.level == 1), None)
    return reading._replace(blocks=blocks, title=title or " ".join(named.split()) or None)


def _heading_levels(lines: Sequence[Line]) -> dict[float, int]:
    """The heights that headings have, each with its level: the highest is 1.

    The body is of the height that most characters have. Where much of the text would be in headings there are none.
    """
    chars: Counter[float] = Counter()
    for line in lines:
        chars[line.height] += len(line.text)
    if not chars:
        return {}
    body = chars.most_common(1)[0][0]
    larger = sorted((height for height in chars if height > body * _LARGER), reverse=True)
    if sum(chars[height] for height in larger) > _MOST_OF_A_TEXT * chars.total():
        return {}
    return {height: min(n, _LEVELS) for n, height in enumerate(larger, 1)}


def _paragraphs(lines: Sequence[Line], levels: dict[float, int]) -> Iterator[_Paragraph]:
    usual = _usual_distance(lines)
    open_lines: list[Line] = []
    for line in lines:
        if open_lines and _begins_paragraph(open_lines, line, usual, levels):
            yield _paragraph(open_lines, levels)
            open_lines = []
        open_lines.append(line)
    if open_lines:
        yield _paragraph(open_lines, levels)


def _usual_distance(lines: Sequence[Line]) -> float:
    """The distance that most lines of a page have from the one above them, in points."""
    steps = Counter(round(upper.bottom - lower.bottom, 0) for upper, lower in pairwise(lines))
    down = [(count, -step) for step, count in steps.items() if step > 1]
    return -max(down)[1] if down else 0.0


def _begins_paragraph(before: Sequence[Line], line: Line, usual: float, levels: dict[float, int]) -> bool:
    last = before[-1]
    if levels.get(last.height, 0) != levels.get(line.height, 0):
        return True
    step = last.bottom - line.bottom
    most = max(usual, line.height if levels.get(line.height) else 0.0) * _NEW_PARAGRAPH
    return step < -line.height or (usual > 0 and step > most)


def _paragraph(lines: Sequence[Line], levels: dict[float, int]) -> _Paragraph:
    level = levels.get(lines[0].height, 0)
    words = " ".join(line.text for line in lines)
    if level and len(words) <= _LONGEST_HEADING and any(char.isalpha() for char in words):
        return _Paragraph(words, level)
    left, right = min(line.left for line in lines), max(line.right for line in lines)
    text = lines[0].text
    for upper, line in pairwise(lines):
        text += _joint(upper, line, left + _FULL_LINE * (right - left)) + line.text
    return _Paragraph(text, 0)


def _joint(upper: Line, line: Line, full: float) -> str:
    """What stands between two lines: nothing within a word, a space where the line was full, else a line feed."""
    if upper.is_parted:
        return ""
    return " " if upper.right >= full and not _ITEM.match(line.text) else "\n"
