"""Texts with places: pages, headings and their levels."""

import pytest

from infrastructure.errors import KnowledgeError
from services.knowledge.chunk import chunk
from services.knowledge.extracted import Block, ExtractedDocument, PageSpan, TextBuilder, as_sections, page_at


def paged(*pages: str) -> ExtractedDocument:
    """A document of a heading on the first page, and a paragraph on each that has one."""
    out = TextBuilder()
    for number, text in enumerate(pages, 1):
        out.begin_page(number)
        if number == 1:
            out.block("heading", "Part", level=2)
        if text:
            out.block("prose", text)
        out.end_page()
    reading = out.reading()
    return ExtractedDocument(reading.text, "T", "application/pdf", reading.blocks, reading.pages)


def test_a_page_reaches_to_the_end_of_its_last_block() -> None:
    document = paged("one", "", "three")
    assert document.text == "Part\n\none\n\nthree\n\n"
    assert document.pages == (PageSpan(1, 0, 9), PageSpan(2, 11, 11), PageSpan(3, 11, 16))


@pytest.mark.parametrize(("place", "page"), [(0, 1), (8, 1), (10, 1), (11, 3), (15, 3), (99, 3)])
def test_a_place_is_on_a_page(place: int, page: int) -> None:
    assert page_at(paged("one", "", "three").pages, place) == page


def test_what_has_no_pages_has_no_page_at_a_place() -> None:
    assert page_at((), 5) is None
    assert page_at((PageSpan(1, 3, 9),), 2) is None


def test_a_chunk_never_leaves_its_page_and_keeps_its_section() -> None:
    chunks = chunk(paged("one", "two", "three " * 100), 200, 20)
    assert [(piece.page, piece.section) for piece in chunks[:2]] == [(1, "Part"), (2, "Part")]
    assert {piece.page for piece in chunks[2:]} == {3}
    assert {piece.section for piece in chunks} == {"Part"}


def test_chapters_of_one_level_are_sections_and_a_lone_heading_of_level_1_is_the_title() -> None:
    def levels(*given: int) -> list[int]:
        return [
            block.level for block in as_sections(Block("heading", n, n + 1, level) for n, level in enumerate(given))
        ]

    assert levels(1, 2, 2, 3) == [1, 2, 2, 3]
    assert levels(1, 2, 1) == [2, 3, 2]
    assert levels(1, 1, 6) == [2, 2, 6]
    assert levels(2, 3) == [3, 4]


def test_a_builder_stops_at_its_bound() -> None:
    out = TextBuilder(most=5)
    out.add("12345")
    with pytest.raises(KnowledgeError, match="its text is too long"):
        out.add("6")
