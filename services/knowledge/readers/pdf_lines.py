"""The lines of a PDF's page, in the order in which they are drawn, with their places."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pypdfium2 import PdfPage, PdfTextPage

_HYPHENS = "\x02\ufffe"  # what PDFium gives for a hyphen at the end of a line
_SOFT_HYPHEN = "\u00ad"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")
_WORD_PART = re.compile(r"(?<![\w-])[^\W\d_]{2,}$")


class Line(NamedTuple):
    """A line of text. Places are in points from the page's lower left corner; `height` is that of its font.

    `is_parted` means that its last word goes on in the next line; the hyphen is gone.
    """

    text: str
    left: float
    right: float
    bottom: float
    height: float
    is_parted: bool


def page_lines(page: "PdfPage") -> Iterator[Line]:
    text_page = page.get_textpage()
    try:
        yield from _lines(text_page)
    finally:
        text_page.close()


def _lines(text_page: "PdfTextPage") -> Iterator[Line]:
    places = _Places(text_page)
    at = 0
    # PDFium puts no line end behind a hyphen: it takes the word for one.
    for piece in re.split(f"(\r\n|[{_HYPHENS}](?:\r\n)?)", places.text):
        start, at = at, at + len(piece)
        if piece[:1] in _HYPHENS and piece:
            continue
        if words := " ".join(_CONTROL.sub(" ", piece.replace(_SOFT_HYPHEN, "")).split()):
            first, last = start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip()) - 1
            hyphen = places.text[at : at + 1]
            is_hyphen = bool(hyphen) and hyphen in _HYPHENS
            is_word = (
                is_hyphen and bool(_WORD_PART.search(words)) and places.text[at + 1 : at + 4].strip()[:1].islower()
            )
            left, bottom, _, height = places.box(first)
            yield Line(words + "-" * (is_hyphen and not is_word), left, places.box(last)[2], bottom, height, is_hyphen)


class _Places:
    """The text of a page, and where its characters stand."""

    def __init__(self, text_page: "PdfTextPage") -> None:
        import pypdfium2.raw as pdfium

        self.text: str = text_page.get_text_range()
        self._pdfium = pdfium
        self._page = text_page
        self._is_dense = len(self.text) == text_page.count_chars()
        self._rect = pdfium.FS_RECTF()

    def box(self, at: int) -> tuple[float, float, float, float]:
        """Left, bottom, right and height of the character at `at`, the height to half a point."""
        index = at if self._is_dense else self._pdfium.FPDFText_GetCharIndexFromTextIndex(self._page, at)
        rect = self._rect
        self._pdfium.FPDFText_GetLooseCharBox(self._page, max(index, 0), rect)
        return rect.left, rect.bottom, rect.right, round(2 * abs(rect.top - rect.bottom)) / 2
