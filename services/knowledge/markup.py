"""HTML: what a reader of the page would see, block by block."""

from typing import Any, cast

from infrastructure.errors import KnowledgeError
from services.knowledge.extracted import BlockKind, TextBuilder
from services.knowledge.readers.damage import is_want_of_memory

_UNSEEN = {"script", "style", "noscript", "template", "head", "svg", "math", "iframe", "object", "select", "button"}
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LINES = {"li", "tr", "dt", "dd", "pre"}
_BLOCKS = (
    {"p", "div", "section", "article", "main", "header", "footer", "nav", "aside", "ul", "ol", "dl", "table", "thead"}
    | {"tbody", "tfoot", "blockquote", "figure", "figcaption", "address", "form", "fieldset", "details", "summary"}
    | {"caption", "hr", "body", "html"}
    | _LINES
    | set(_HEADINGS)
)
_MAX_DEPTH = 200
_PIECE = 1024**2


class _Walk:
    """Takes a page's tags and texts as they come, and ends a block of text wherever a block element begins or ends.

    It is the target of a parser of lxml's: no tree is made, which for a large page would be many times its size.
    """

    def __init__(self, out: TextBuilder) -> None:
        self.out = out
        self.named: list[str] = []  # the text of the title element
        self._parts: list[str] = []
        self._texts: list[str] = []  # of one text, which may come in pieces
        self._open: list[str] = []  # the open elements, outermost first
        self._owners: list[str] = []  # those of them that are block elements
        self._unseen = 0
        self._in_title = False
        self._item_begun = False  # whether the next text is a list item's first: it may stand in a paragraph of its own

    def start(self, name: str, _attributes: Any) -> None:
        self._end_text()
        self._open.append(name)
        if len(self._open) > _MAX_DEPTH:
            raise KnowledgeError(f"its elements are nested more than {_MAX_DEPTH} deep")
        self._in_title = name == "title" and not self.named
        self._unseen += name in _UNSEEN
        if self._unseen:
            return
        if name in _BLOCKS:
            self.flush()
            self._owners.append(name)
            self._item_begun |= name == "li"
        elif name == "br":
            self._parts.append("\n")
        elif name in {"td", "th"} and any(part.strip() for part in self._parts):
            self._parts.append(" | ")

    def end(self, name: str) -> None:
        self._end_text()
        self._open.pop()
        self._in_title = False
        if name in _BLOCKS and not self._unseen:
            self.flush()
            self._owners.pop()
            self._item_begun &= name != "li"
        self._unseen -= name in _UNSEEN

    def data(self, string: str) -> None:
        if self._in_title:
            self.named.append(string)
        if not self._unseen:
            self._texts.append(string)

    def comment(self, _text: str) -> None:
        self._end_text()

    def pi(self, _target: str, _data: str | None = None) -> None:
        self._end_text()

    def close(self) -> None:
        self._end_text()
        self.flush()

    def _end_text(self) -> None:
        string = "".join(self._texts)
        self._texts = []
        if "pre" in self._owners:
            self._parts.append(string)
        elif string.strip():
            # White space within a page says nothing but that there is some.
            lead, trail = string[0].isspace(), string[-1].isspace()
            self._parts.append(f"{' ' * lead}{' '.join(string.split())}{' ' * trail}")
        elif string:
            self._parts.append(" ")

    def flush(self) -> None:
        raw, self._parts = "".join(self._parts), []
        owner = next((name for name in reversed(self._owners) if name in _LINES or name in _HEADINGS), "")
        text = raw.strip("\n").rstrip() if owner == "pre" else _squeezed(raw)
        if not text.strip():
            return
        if self._item_begun:
            text, self._item_begun = f"- {text}", False
        if owner in _HEADINGS:
            self.out.block("heading", " ".join(text.split()), level=_HEADINGS[owner])
        else:
            kind: BlockKind = "lines" if owner in _LINES else "prose"
            self.out.block(kind, text, after="\n" if owner in {"li", "tr"} else "\n\n")


def html_blocks(text: str, most: int | None = None) -> tuple[TextBuilder, str | None]:
    """The text of an HTML page with its blocks, and its title: the first h1, else the title element.

    Raises:
        KnowledgeError: elements are nested more than 200 deep, or more than `most` characters would come out.
    """
    out = TextBuilder(most=most)
    named = html_into(out, text)
    heading = next((block.heading for block in out.blocks if block.level == 1), None)
    return out, heading or named


def html_into(out: TextBuilder, text: str) -> str | None:
    """Append the text of a page; what its title element says.

    Raises:
        KnowledgeError: as `html_blocks`.
    """
    from lxml import etree

    walk = _Walk(out)
    parser = etree.HTMLParser(target=cast(Any, walk), encoding="utf-8", huge_tree=True, no_network=True)
    data = text.encode("utf-8", "replace")
    try:
        for at in range(0, len(data), _PIECE):
            parser.feed(data[at : at + _PIECE])
        if data:
            parser.close()
    except etree.XMLSyntaxError as error:
        if is_want_of_memory(error):
            raise MemoryError from error
        walk.close()  # nothing but white space: there is no document
    return " ".join("".join(walk.named).split()) or None


def _squeezed(raw: str) -> str:
    return "\n".join(" ".join(line.split()) for line in raw.split("\n") if line.strip())
