"""Word documents: headings by their styles, paragraphs, lists and tables, in the order of the document.

Text is taken from the XML below each paragraph and not from python-docx's runs, which leave out what was inserted with
tracked changes and what stands in content controls. What was deleted with tracked changes is not read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infrastructure.errors import KnowledgeError
from services.knowledge.extracted import Reading, TextBuilder, as_sections
from services.knowledge.readers import tables
from services.knowledge.readers.archive import Archive, is_xml_part
from services.knowledge.readers.damage import telling_damage
from services.knowledge.readers.limits import NO_TEXT, ReadingLimits

if TYPE_CHECKING:
    from docx.document import Document

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MATH_TEXT = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"
_FALLBACK = (
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"  # the same once more, for old readers
)
_NOTES = ("footnotes", "endnotes")
_HEADING = re.compile(r"heading (\d)$")
_PLAIN = {f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}tab": "\t", f"{_W}noBreakHyphen": "-"}
_CONTAINERS = {f"{_W}sdt", f"{_W}sdtContent", f"{_W}customXml", f"{_W}ins", f"{_W}moveTo", f"{_W}smartTag"}
_PLAIN_KIND = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_OTHER_KINDS = re.compile(
    rb"application/vnd\.(?:ms-word\.(?:document|template)\.macroEnabled(?:Template)?"
    rb"|openxmlformats-officedocument\.wordprocessingml\.template)\.main\+xml"
)
_OUTLINE_LEVELS = 6
_LONGEST_CHAIN = 20


def read_docx(data: bytes, limits: ReadingLimits) -> Reading:
    """
    Raises:
        KnowledgeError: encrypted, damaged, without text, or more than `limits` allow.
    """
    from docx import Document as open_document

    source = Archive(data, limits).copy(is_xml_part, _as_document)
    with telling_damage():
        reader = _Reader(open_document(source), limits)
        reader.read()
        reading = reader.out.reading()
    if not reading.text.strip():
        raise KnowledgeError(NO_TEXT)
    blocks = as_sections(reading.blocks)
    title = next((block.heading for block in blocks if block.level == 1), None)
    return reading._replace(blocks=blocks, title=title or reader.named)


def _as_document(types: bytes) -> bytes:
    """Documents with macros, and templates, as plain documents, which is all that the library opens."""
    return _OTHER_KINDS.sub(_PLAIN_KIND, types)


class _Reader:
    def __init__(self, document: "Document", limits: ReadingLimits) -> None:
        self.out = TextBuilder(most=limits.text_chars)
        self.named = document.core_properties.title or None
        self._document = document
        self._styles = _styles(document)

    def read(self) -> None:
        for element in _blocks(self._document.element.body):
            if element.tag == f"{_W}tbl":
                self._table(element)
            else:
                self._paragraph(element)
        for relation in self._document.part.rels.values():
            kind = relation.reltype.rsplit("/", 1)[-1]
            if kind in _NOTES and not relation.is_external:
                self._notes(relation.target_part.blob)

    def _paragraph(self, element: Any) -> None:
        text = _text(element).strip()
        if not text:
            return
        properties = element.find(f"{_W}pPr")
        style = _value(properties, "pStyle") or ""
        level = _outline_level(properties) or self._styles.levels.get(style, 0)
        if level:
            self.out.block("heading", " ".join(text.split()), level=level)
        elif style in self._styles.lists or (properties is not None and properties.find(f"{_W}numPr") is not None):
            self.out.block("lines", f"- {text}", after="\n")
        else:
            self.out.block("prose", text)

    def _table(self, element: Any) -> None:
        rows = [[_text(cell) for cell in _below(row, "tc")] for row in _below(element, "tr")]
        if text := tables.table(rows):
            self.out.block("lines", text)

    def _notes(self, data: bytes) -> None:
        from lxml import etree

        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
        for note in etree.fromstring(data, parser):
            if note.get(f"{_W}type") in (None, "normal") and (text := _text(note).strip()):
                self.out.block("prose", text)


def _blocks(parent: Any) -> Iterator[Any]:
    """The paragraphs and tables of a body, those within content controls too."""
    open_elements = [iter(parent)]
    while open_elements:
        element = next(open_elements[-1], None)
        if element is None:
            open_elements.pop()
        elif element.tag in (f"{_W}p", f"{_W}tbl"):
            yield element
        elif element.tag in _CONTAINERS:
            open_elements.append(iter(element))


def _below(parent: Any, name: str) -> Iterator[Any]:
    """The rows of a table or the cells of a row, without those of a table in a cell."""
    for element in parent:
        if element.tag == _W + name:
            yield element
        elif element.tag in _CONTAINERS:
            yield from _below(element, name)


def _text(element: Any) -> str:
    """All text below an element. A paragraph in a cell, a note or a text box begins a line."""
    parts: list[str] = []
    skipped: Any = None
    for node in element.iter():
        if skipped is not None:
            if _is_below(node, skipped):
                continue
            skipped = None
        if node.tag in (f"{_W}t", _MATH_TEXT):
            parts.append(node.text or "")
        elif node.tag in _PLAIN and node.getparent().tag == f"{_W}r":
            parts.append(_PLAIN[node.tag])
        elif node.tag == f"{_W}p" and parts:
            parts.append("\n")
        elif node.tag == _FALLBACK:
            skipped = node
    return "".join(parts)


def _is_below(node: Any, above: Any) -> bool:
    return any(parent is above for parent in node.iterancestors())


@dataclass(slots=True)
class _Styles:
    """The heading level of each style that has one, by the style's id, and the styles of titles and of list items."""

    levels: dict[str, int] = field(default_factory=dict)
    titles: set[str] = field(default_factory=set)
    lists: set[str] = field(default_factory=set)


def _styles(document: "Document") -> _Styles:
    """The styles of a document. One without an outline level has that of the style it is based on.

    Headings go one level down in a document whose title has a style of its own.
    """
    styles = _Styles()
    above: dict[str, str] = {}
    for style in document.styles.element.findall(f"{_W}style"):
        identity, name = style.get(f"{_W}styleId") or "", (_value(style, "name") or "").lower()
        above[identity] = _value(style, "basedOn") or ""
        if name == "title":
            styles.titles.add(identity)
        elif heading := _HEADING.match(name):
            styles.levels[identity] = int(heading.group(1))
        elif level := _outline_level(style.find(f"{_W}pPr")):
            styles.levels[identity] = level
        elif name.startswith("list "):
            styles.lists.add(identity)
    _inherit(styles.levels, above)
    used = {_value(properties, "pStyle") for properties in document.element.body.iter(f"{_W}pPr")}
    down = 1 if styles.titles & used else 0
    styles.levels = {identity: min(level + down, _OUTLINE_LEVELS) for identity, level in styles.levels.items()}
    styles.levels.update(dict.fromkeys(styles.titles, 1))
    return styles


def _inherit(levels: dict[str, int], above: dict[str, str]) -> None:
    for identity in above:
        chain = [identity]
        while chain[-1] in above and chain[-1] not in levels and len(chain) < _LONGEST_CHAIN:
            chain.append(above[chain[-1]])
        if chain[-1] in levels:
            levels[identity] = levels[chain[-1]]


def _outline_level(properties: Any) -> int:
    """1 to 6, and 0 for body text."""
    value = _value(properties, "outlineLvl")
    return int(value) + 1 if value and value.isdigit() and int(value) < _OUTLINE_LEVELS else 0


def _value(parent: Any, name: str) -> str | None:
    child = None if parent is None else parent.find(_W + name)
    return None if child is None else child.get(f"{_W}val")
