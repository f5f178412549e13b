"""Where fenced code stands, and where that is in doubt."""

import pytest

from agents.code_spans import paragraph, span_end
from agents.fences import Fences
from agents.link_syntax import MORE


@pytest.mark.parametrize(
    "text",
    ["```\n", "text\n```html\n<a>\n", "~~~~ x ` y\n~~~\n", "````\n```\n", "```\na\n```\n\n```\n",
     "1. a\n   ```\n   b\n   ",
     "```\r\nx", "```\rx", "```js\n  indented\nand not, ", "```\n> quoted ", "a `code` b\n```\n"],
)  # fmt: skip
def test_code_in_a_fence_is_code(text: str) -> None:
    assert Fences().inside(text)


@pytest.mark.parametrize(
    "text",
    ["", "text", "```", "```html", "``` a ` b\n", "```\na\n```\n", "~~~\n~~~\n", "a ```\n", "    ```\n", "``\n",
     # What ends the code may be the list or the quote that it stands in
     "> ```\n", "- ```\n  a\n  ```\n  ", "1. a\n   ```\n  b", "   ```\nx\n   ", "  ```\n```\n```\n", "* > ```\n```\n",
     "[^1]: ```\n```\n", "    ```\n\n```\n",
     # Lines have other rules inside HTML and mathematics, and where a table's head is seen
     "<div>\n```\n", "- <!-- a\n```\n", "$$\n```\n", "```|a\n-|-\n", "<script>\n```\n"],
)  # fmt: skip
def test_what_may_be_none_is_none(text: str) -> None:
    assert not Fences().inside(text)


def test_each_line_is_looked_at_once_as_the_text_grows() -> None:
    fences, text = Fences(), ""
    seen = []
    for piece in ("a\n``", "`\ncode", "\n`", "``", "\nafter\n", "```\n", "again"):
        text += piece
        seen.append(fences.inside(text))
    assert seen == [False, True, True, True, False, True, True]


@pytest.mark.parametrize(
    ("before", "after", "end"),
    [
        ("Use `", "<a>` here", 4),
        ("Use ``x ` ", "<a>`` here", 5),
        ("`a` and `b`, then `", "](x)`.", 5),
        ("\\` and `", "](x)`.", 5),
        ("**`", "](x)`.", 5),
        ("Use `", "<a>", MORE),
        ("Use `", "<a>`", MORE),
        ("Use `", "<a>``", MORE),
        ("Use `", "<a>`` more", MORE),
        ("Use `", "<a>\n`", None),
        ("Use `", "<a> | x`", None),
        ("| `", "<a>` |", None),
        ("Use ", "<a>`", None),
        ("Use \\`", "<a>`.", None),
        ("`one\ntwo` and `", "<a>`.", None),
        ("`one\ntwo ", "<a>`.", None),
        ("<b title='`'>", "<a>`.", None),
        ("http://x/`", "<a>`.", None),
        ("www.x.y`", "<a>`.", None),
        ("a@b.c`", "<a>`.", None),
    ],
)
def test_code_in_a_line_is_code_where_everybody_sees_it_so(before: str, after: str, end: int | None) -> None:
    assert span_end(before, after) == end


def test_a_paragraph_begins_behind_the_last_blank_line() -> None:
    assert paragraph("one\n\ntwo\r\n \r\nthree\rfour") == "three\nfour"
    assert paragraph("one") == "one"
