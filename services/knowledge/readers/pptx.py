"""Presentations: a slide is a page; its title, its texts and tables, then the speaker's notes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from infrastructure.errors import KnowledgeError
from services.knowledge.extracted import Reading, TextBuilder
from services.knowledge.readers import tables
from services.knowledge.readers.archive import Archive, is_xml_part
from services.knowledge.readers.damage import telling_damage
from services.knowledge.readers.limits import NO_TEXT, ReadingLimits

if TYPE_CHECKING:
    from pptx.slide import Slide

_MAX_DEPTH = 50
_TITLE_LEVEL = 2


def read_pptx(data: bytes, limits: ReadingLimits) -> Reading:
    """
    Raises:
        KnowledgeError: encrypted, damaged, without text, or more than `limits` allow.
    """
    from pptx import Presentation

    source = Archive(data, limits).copy(is_xml_part)
    out = TextBuilder(most=limits.text_chars)
    with telling_damage():
        presentation = Presentation(source)
        if len(presentation.slides) > limits.pages:
            raise KnowledgeError(f"it has more than {limits.pages} pages")
        for number, slide in enumerate(presentation.slides, 1):
            out.begin_page(number)
            _slide(slide, out)
            out.end_page()
        named = presentation.core_properties.title
    if not out.blocks:
        raise KnowledgeError(NO_TEXT)
    first = next((block.heading for block in out.blocks if block.kind == "heading"), None)
    generic = named.strip().casefold() in ("", "powerpoint presentation")
    return out.reading(first if generic else named)


def _slide(slide: "Slide", out: TextBuilder) -> None:
    title = slide.shapes.title
    if title is not None and (words := " ".join(title.text_frame.text.split())):
        out.block("heading", words, level=_TITLE_LEVEL)
    for shape in _shapes(slide.shapes, 0):
        if title is not None and shape.shape_id == title.shape_id:
            continue
        if getattr(shape, "has_table", False):
            _table(shape.table, out)
        elif shape.has_text_frame:
            _text_frame(shape.text_frame, out)
    if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame) is not None:
        _text_frame(notes, out)


def _shapes(shapes: Any, depth: int) -> Iterator[Any]:
    """The shapes of a slide, those in groups too, in the order in which they are drawn."""
    if depth > _MAX_DEPTH:
        raise KnowledgeError(f"its groups are nested more than {_MAX_DEPTH} deep")
    for shape in shapes:
        if hasattr(shape, "shapes"):
            yield from _shapes(shape.shapes, depth + 1)
        else:
            yield shape


def _text_frame(frame: Any, out: TextBuilder) -> None:
    """One paragraph is prose; several are the points of a list."""
    lines = [" ".join(paragraph.text.split()) for paragraph in frame.paragraphs]
    lines = [line for line in lines if line]
    if len(lines) == 1:
        out.block("prose", lines[0])
    elif lines:
        out.block("lines", "\n".join(f"- {line}" for line in lines))


def _table(table: Any, out: TextBuilder) -> None:
    if text := tables.table([[cell.text for cell in row.cells] for row in table.rows]):
        out.block("lines", text)
