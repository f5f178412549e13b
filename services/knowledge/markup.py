"""HTML: what a reader of the page would see, block by block."""

from collections.abc import Iterator

from bs4 import BeautifulSoup, ParserRejectedMarkup, Tag
from bs4.element import NavigableString, PreformattedString

from infrastructure.errors import KnowledgeError
from services.knowledge.extracted import TextBuilder

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


class _Walk:
    """Goes through the elements without recursion, and ends a block of text wherever a block element begins or ends."""

    def __init__(self) -> None:
        self.out = TextBuilder()
        self._parts: list[str] = []
        self._owners: list[str] = []  # the open block elements, outermost first
        self._item_begun = False  # whether the next text is a list item's first: it may stand in a paragraph of its own

    def enter(self, tag: Tag) -> None:
        if tag.name in _BLOCKS:
            self.flush()
            self._owners.append(tag.name)
            self._item_begun |= tag.name == "li"
        elif tag.name == "br":
            self._parts.append("\n")
        elif tag.name in {"td", "th"} and any(part.strip() for part in self._parts):
            self._parts.append(" | ")

    def leave(self, tag: Tag) -> None:
        if tag.name in _BLOCKS:
            self.flush()
            self._owners.pop()
            self._item_begun &= tag.name != "li"

    def text(self, string: str) -> None:
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
        text = raw.strip("\n").rstrip() if owner == "pre" else "\n".join(_squeezed(raw))
        if not text.strip():
            return
        if self._item_begun:
            text, self._item_begun = f"- {text}", False
        if owner in _HEADINGS:
            self.out.block("heading", " ".join(text.split()), level=_HEADINGS[owner])
        else:
            self.out.block(
                "lines" if owner in _LINES else "prose", text, after="\n" if owner in {"li", "tr"} else "\n\n"
            )


def html_blocks(text: str) -> tuple[TextBuilder, str | None]:
    """The text of an HTML page with its blocks, and its title: the first h1, else the title element.

    Raises:
        KnowledgeError: not HTML, or elements are nested more than 200 deep.
    """
    try:
        soup = BeautifulSoup(text, "lxml")
    except ParserRejectedMarkup as error:
        raise KnowledgeError("not valid HTML") from error
    walk = _Walk()
    for event, node in _events(soup):
        if isinstance(node, Tag):
            (walk.enter if event == "enter" else walk.leave)(node)
        elif isinstance(node, NavigableString):
            walk.text(str(node))
    walk.flush()
    heading = next((block.heading for block in walk.out.blocks if block.level == 1), None)
    named = soup.title.get_text() if soup.title else ""
    return walk.out, heading or " ".join(named.split()) or None


def _events(soup: BeautifulSoup) -> Iterator[tuple[str, Tag | NavigableString]]:
    stack: list[tuple[Tag, int]] = [(soup, 0)]
    while stack:
        tag, at = stack.pop()
        if at == len(tag.contents):
            yield "leave", tag
            continue
        stack.append((tag, at + 1))
        child = tag.contents[at]
        if isinstance(child, Tag):
            if child.name not in _UNSEEN:
                if len(stack) > _MAX_DEPTH:
                    raise KnowledgeError(f"its elements are nested more than {_MAX_DEPTH} deep")
                yield "enter", child
                stack.append((child, 0))
        elif isinstance(child, NavigableString) and not isinstance(child, PreformattedString):
            yield "text", child  # comments, doctypes and the like are PreformattedString


def _squeezed(raw: str) -> Iterator[str]:
    for line in raw.split("\n"):
        if line.strip():
            yield " ".join(line.split())
