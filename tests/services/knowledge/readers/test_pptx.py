"""Presentations: a slide is a page."""

from pathlib import Path

from pptx import Presentation

from services.knowledge.chunk import chunk
from services.knowledge.readers.limits import ReadingLimits
from tests.services.knowledge.readers.made import headings, page_texts, pptx_bytes, read, refusal, saved, with_members


def test_titles_texts_tables_groups_and_notes_are_on_their_slide(tmp_path: Path) -> None:
    document = read(tmp_path, "a.pptx", pptx_bytes())
    assert page_texts(document) == [
        "The plan\n\nFor next year",
        "Budget\n\n| Item | Cost |\n| --- | --- |\n| Boat | 90 |\n\nGrouped words\n\nMention the harbour.",
        "",
        "Points\n\n- One\n- Two",
    ]
    assert headings(document) == [(2, "The plan"), (2, "Budget"), (2, "Points")]
    assert document.title == "The plan"


def test_a_chunk_has_its_slides_number_and_title(tmp_path: Path) -> None:
    chunks = chunk(read(tmp_path, "a.pptx", pptx_bytes()))
    assert [(piece.page, piece.section) for piece in chunks] == [(1, "The plan"), (2, "Budget"), (4, "Points")]


def test_its_own_title_comes_first(tmp_path: Path) -> None:
    presentation = Presentation()
    presentation.core_properties.title = "Strategy"
    presentation.slides.add_slide(presentation.slide_layouts[5]).shapes.title.text = "Slide"
    assert read(tmp_path, "a.pptx", saved(presentation.save)).title == "Strategy"


def test_what_has_no_text_or_too_many_slides_or_is_damaged_is_refused(tmp_path: Path) -> None:
    empty = Presentation()
    empty.slides.add_slide(empty.slide_layouts[6])
    assert refusal(tmp_path, "a.pptx", saved(empty.save)) == "it holds no text"
    data = pptx_bytes()
    assert refusal(tmp_path, "a.pptx", data, ReadingLimits(pages=3)) == "it has more than 3 pages"
    assert refusal(tmp_path, "a.pptx", with_members(data, {"ppt/slides/slide1.xml": b"<p"})) == "it is damaged"


def test_groups_in_groups_without_end_are_refused(tmp_path: Path) -> None:
    presentation = Presentation()
    shapes = presentation.slides.add_slide(presentation.slide_layouts[6]).shapes
    for _ in range(60):
        shapes = shapes.add_group_shape().shapes
    assert "nested" in refusal(tmp_path, "a.pptx", saved(presentation.save))
