"""What in an answer may become a link or a picture on a page: the places that CommonMark, and HTML in it, have for it.

Every inline link and picture has `](`, every definition of a reference `]:`, all else begins with `<`. What stands in
the brackets is not looked at: it may be nested, escaped or code, and still be a link.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

TRIGGER = re.compile(r"(?<=\])[(:]|<(?=[^\x00-\x20<>]|\Z)")
_SPACE = re.compile(r"\s*")
_BLANK_LINE = re.compile(r"(?>\r\n|[\r\n])[ \t]*[\r\n]")
_ANGLED = re.compile(r"<((?:[^<>\n\r\\]|\\.)*+\\?)(>?)")
_TITLE_END = re.compile(r"""\s*(?:"[^"]*"|'[^']*'|\([^()]*\))?\s*\)""")
_TITLE_BEGUN = re.compile(r"""\s*(?:(?:"[^"]{0,300}"?|'[^']{0,300}'?|\([^()]{0,300}\)?)\s*)?\Z""")
_AUTOLINK = re.compile(r"<([A-Za-z][A-Za-z0-9+.-]{1,31}:[^\x00-\x20<>]*|[^\x00-\x20<>@\\]+@[^\x00-\x20<>@\\]+)>")
_AUTOLINK_BEGUN = re.compile(r"<[^\x00-\x20<>]*\Z")
_TAG_LIKE = re.compile(r"</?[A-Za-z]")
_NAME = r"/?[A-Za-z][A-Za-z0-9-]*+"
_ATTRIBUTE = r"""\s++[A-Za-z_:@][^\s="'<>/`]*+(?:\s*+=\s*+(?:[^\s"'=<>`]++|'[^']*+'|"[^"]*+"))?+"""
_TAG = re.compile(rf"<({_NAME})((?:{_ATTRIBUTE})*+)\s*+/?>")
_TAG_BEGUN = re.compile(
    rf"""</?(?:{_NAME.removeprefix("/?")}(?:{_ATTRIBUTE})*+\s*+"""
    r"""(?:/|(?<=\s)[A-Za-z_:@][^\s="'<>/`]*+\s*+=?\s*+|=\s*+(?:[^\s"'=<>`]++|'[^']*+|"[^"]*+)?)?)?\Z"""
)
_BRACKET = re.compile(r"!?\[|\]")
_PLAIN_TARGET = re.compile(r"\]\([^()\[\]]*\)")
_UNCOUNTED = re.compile(r"[\\`<]")
_VALUE = re.compile(r"""([^\s="'<>/`]++)\s*+=\s*+(?:([^\s"'=<>`]++)|'([^']*+)'|"([^"]*+)")""")
_LOADING = frozenset(
    {"applet", "audio", "base", "body", "embed", "form", "frame", "frameset", "iframe", "input", "link",
     "math", "meta", "noscript", "object", "picture", "script", "source", "style", "svg", "template", "track",
     "video"}
)  # fmt: skip
"""Tags that load something, or hold text with rules of its own, whatever their attributes say."""


class More:
    """It cannot be told yet: more of the text is needed."""


MORE: Final = More()


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of a tag as it is written, and what it says. `name` is in lower case."""

    text: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Place:
    """A place for targets, `[start, end)` of the text that was read. `tag` is a tag's name, with `/` where it ends one.

    `odd` is the beginning of a tag that comes to
    nothing as it stands; it might, once something behind it was taken out.
    """

    kind: Literal["link", "definition", "autolink", "tag", "odd"]
    start: int
    end: int
    target: str = ""
    tag: str = ""
    attributes: tuple[Attribute, ...] = ()

    @property
    def address(self) -> str:
        """Where a link that is made of it leads."""
        return f"mailto:{self.target}" if self.kind == "autolink" and ":" not in self.target else self.target

    @property
    def loads(self) -> bool:
        """Whether it is a tag that is never let through."""
        return self.tag.removeprefix("/") in _LOADING


def read_place(text: str, at: int, final: bool) -> Place | More | None:
    """The place that begins at the trigger at `at`; None where it is none. With `final` no more text will come."""
    return _read_tag(text, at, final) if text[at] == "<" else _read_target(text, at, final)


def ends_picture(paragraph: str) -> bool:
    """Whether the bracket that ends the paragraph may be a picture's. Told by counting brackets, as CommonMark does;
    where some of them may not count (escaped, in code, in a tag, in a title) it may.
    """
    begin = paragraph.find("![")
    if begin < 0:
        return False
    text = _PLAIN_TARGET.sub("]", paragraph[begin:])
    if "](" in text or _UNCOUNTED.search(text):
        return True
    opened: list[str] = []
    closed = ""
    for bracket in _BRACKET.findall(text):
        if bracket != "]":
            opened.append(bracket)
        else:
            closed = opened.pop() if opened else ""  # one of before the first picture
    return closed == "!["


def _read_target(text: str, at: int, final: bool) -> Place | More | None:
    space = _SPACE.match(text, at + 1)
    begin = space.end() if space else at + 1
    if _BLANK_LINE.search(text, at + 1, begin):
        return None
    if begin == len(text):
        return None if final and begin == at + 1 else MORE
    if text[begin] == "<":
        angled = _ANGLED.match(text, begin)
        if angled is None or not angled[2]:
            return MORE if angled and angled.end() == len(text) and not final else None
        target, end = angled[1], angled.end()
    else:
        end = _bare_end(text, begin)
        if end == len(text) and not final:
            return MORE
        target = text[begin:end]
    if text[at] == ":":
        return Place("definition", at, end, target)
    closed = _TITLE_END.match(text, end)
    if closed is None and not final and _TITLE_BEGUN.match(text, end):
        return MORE
    return Place("link", at, closed.end() if closed else end, target)


def _bare_end(text: str, begin: int) -> int:
    """Where a target without angle brackets ends: at white space, or the parenthesis that it does not hold itself."""
    depth, at = 0, begin
    while at < len(text):
        char = text[at]
        if char <= " " or (char == ")" and not depth):
            return at
        depth += (char == "(") - (char == ")")
        at += 2 if char == "\\" else 1
    return len(text)


def _read_tag(text: str, at: int, final: bool) -> Place | More | None:
    if found := _AUTOLINK.match(text, at):
        return Place("autolink", at, found.end(), found[1])
    if found := _TAG.match(text, at):
        return Place("tag", at, found.end(), "", found[1].lower(), tuple(_attributes(found[2])))
    tag = _TAG_LIKE.match(text, at)
    if (tag or not final) and (_TAG_BEGUN.match(text, at) or _AUTOLINK_BEGUN.match(text, at)):
        return MORE
    return Place("odd", at, at + 1) if tag else None


def _attributes(text: str) -> Iterator[Attribute]:
    for found in _VALUE.finditer(text):
        yield Attribute(found[0], found[1].lower(), found[2] or found[3] or found[4] or "")
