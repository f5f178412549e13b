"""Links and pictures on their way to the reader: what would lead elsewhere never gets there, in whatever pieces.

What a page makes of the text is asked of a CommonMark renderer that lets HTML through.
"""

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from agents.links import LONGEST, MAX_LOOKS, OUR_NOTES, LinkFilter
from services.link_policy import LinkPolicy

KNOWN = "https://known.example/page"
LISTED = "listed.example"
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")
LINK, IMAGE = "(outside link removed)", "(outside image removed)"


def passed_on(*pieces: str) -> str:
    """Each argument is a turn of its own, in one piece."""
    out: list[str] = []
    for piece in pieces:
        links = make_filter(out)
        links.put(piece)
        links.end()
        assert not links.waits
    assert "" not in out
    return "".join(out)


def make_filter(out: list[str]) -> LinkFilter:
    return LinkFilter(out.append, lambda: "".join(out), LinkPolicy((LISTED,)), lambda: (f"See {KNOWN}.",))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[here](http://evil.example/?q=x) now", f"[here] {LINK} now"),
        ("![a cat](https://evil.example/c.png).", f"![a cat] {IMAGE}."),
        ("[![a](//evil.example/c.png)](http://evil.example)", f"[![a] {IMAGE}] {LINK}"),
        ("[a]( <http://evil.example/a b> 'and so' )!", f"[a] {LINK}!"),
        ("[a](http://evil.example/x_(y) \"title\")!", f"[a] {LINK}!"),
        ("[a](http://evil.example and so on", f"[a] {LINK} and so on"),
        ("[a](http://evil", f"[a] {LINK}"),
        ("[a](javascript:alert(1))", f"[a] {LINK}"),
        ("[a\\](b](http://evil.example)", f"[a\\](b] {LINK}"),
        ("[`]`](http://evil.example)", f"[`]`] {LINK}"),
        ("[a][1]\n\n[1]: http://evil.example 'x'\n", f"[a][1]\n\n[1] {LINK} 'x'\n"),
        ("[1]:\n  <http://evil.example>\n", f"[1] {LINK}\n"),
        ("[1]: http://evil.example", f"[1] {LINK}"),
        (f"![x][1]\n\n[1]: {KNOWN}\n", f"![x][1]\n\n[1] {LINK}\n"),  # a picture could be made of it
        ("See <http://evil.example/x>.", "See http://evil.example/x."),
        ("(<me@evil.example>)", "( me@evil.example)"),
        ('An <img src="//evil.example/x" alt="a cat"> here', 'An <img alt="a cat"> here'),
        ('<a class=b href="http://evil.example">x</a>', "<a class=b>x</a>"),
        ("<p style='background:url(//evil.example)'>x</p>", "<p>x</p>"),
        ("<script src=/x.js>1</script>", "< script src=/x.js>1< /script>"),
        ("a <b", "a < b"),
        ("`a` [b](http://evil.example)", f"`a` [b] {LINK}"),
        ("`a [b](http://evil.example)", f"`a [b] {LINK}"),
        ("`a\n[b](http://evil.example)`", f"`a\n[b] {LINK}`"),
        ("> ```\n![b](http://evil.example)\n```", f"> ```\n![b] {IMAGE}\n```"),
        (f"![a]({KNOWN})", f"![a] {IMAGE}"),
        (f"![a](https://{LISTED}/?q=x)", f"![a] {IMAGE}"),
        (f"![a [b](/x) c]({KNOWN})", f"![a [b](/x) c] {IMAGE}"),
        (f"[a]({KNOWN}?q=secret)", f"[a] {LINK}"),
        (f"![a](/b 'c](d') [e]({KNOWN})", f"![a](/b 'c](d') [e] {IMAGE}"),  # in doubt it is one
        ("<!--m@evil.example>", " !--m@evil.example"),
        (f"[a](https://{'x' * LONGEST}.example)", f"[a] {LINK}"),
    ],
)  # fmt: skip
def test_what_leads_elsewhere_is_taken_out(text: str, shown: str) -> None:
    assert passed_on(text) == shown


@pytest.mark.parametrize(
    "text",
    ["", "plain", "[1] and [2, 3].",
     "[a](/own) ![b](/api/v1/x.png?a=1&b=2) [c](#d \"e\") [f](docs/g.md)", "[x]: /own\n",
     f"[a]({KNOWN}) and <{KNOWN}>", f"![b](/c) [d]({KNOWN})", "<3", "x <",
     f"[a](https://{LISTED}/b \"c\")", f'<a href="{KNOWN}">x</a>',
     "a[0](x) b[1]: int, c[:2]", "[Note]: this is so.", "a < b, 1<2, <3, x <= y", "<br> <b>bold</b> <details open>",
     "<your-name> and <T>", "bare http://evil.example/ stays", "f(x)](", "]", "](", "]:", "[a]:\n\nhttp://evil.example",
     "[a](\n\nhttp://evil.example)",
     "`[a](http://evil.example)` and ``<img src=//evil.example> ` ``.",
     "```html\n<a href='http://evil.example'>\n![a](//evil.example)\n<T, U>\n```\n",
     "1. a:\n   ~~~\n   [b](http://evil.example) <img src=//evil.example>\n   ~~~\n"],
)  # fmt: skip
def test_all_else_and_code_stays_as_it_is(text: str) -> None:
    assert passed_on(text) == text


def test_nothing_waits_but_what_may_begin_a_place() -> None:
    out: list[str] = []
    links = make_filter(out)
    for piece, said in (
        ("An [aside", "An [aside"), ("]", "An [aside]"), (" and [x]", "An [aside] and [x]"), ("(ht", ""), ("tp:", ""),
        ("//evil.example/?a", ""), (")", f"An [aside] and [x] {LINK}"), (" <", f"An [aside] and [x] {LINK} "),
        ("3 ", f"An [aside] and [x] {LINK} <3 "),
    ):  # fmt: skip
        links.put(piece)
        assert not said or "".join(out) == said
        assert "(ht" not in "".join(out)
    assert links.removed == 1


@pytest.mark.parametrize(
    "begun", ["[a](http://evil.example/", "<img src='//evil.example/", "[a]: http://evil.example/"]
)
def test_what_does_not_end_is_waited_for_only_so_long(begun: str) -> None:
    out: list[str] = []
    links = make_filter(out)
    links.put(begun)
    for _ in range(LONGEST // 10):
        links.put("xxxxxxxxxx")
    assert "x" * (LONGEST - 100) in "".join(out)
    links.put("'>) )")
    links.end()
    assert outside("".join(out)) == []


@pytest.mark.parametrize(
    "turns", [("![a](", "http://evil.example)"), ("![a]( ", "http://evil.example)"), ("<img ", "src=//evil.example>"),
              ("[a]: ", "http://evil.example"), ("![a]", "(http://evil.example)")],
)  # fmt: skip
def test_what_one_turn_begins_the_next_does_not_end(turns: tuple[str, str]) -> None:
    first, second = turns
    between = "" if first[-1].isspace() else "\n\n"  # as the tools' turn puts it
    assert outside(passed_on(first, between, second)) == []


def test_our_own_words_are_known_again() -> None:
    assert OUR_NOTES.sub("", f"a [b] {LINK} c ![d] {IMAGE}.") == "a [b] c ![d]."


def test_after_many_places_code_is_none_any_more() -> None:
    out: list[str] = []
    links = make_filter(out)
    links.put("```\n")
    for _ in range(MAX_LOOKS):
        links.put("![a](//evil.example)\n")
    assert links.removed == 0
    links.put(f"![a](//evil.example) [b]({KNOWN}) <http://evil.example> x<y, ")
    links.end()
    assert "".join(out).endswith(f"![a] {LINK} [b] {LINK}  http://evil.example x< y, ")


class Targets(HTMLParser):
    """The attributes of a page's tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []
        self.feed(page.replace("<!", "<!-- -->&lt;"))  # declarations load nothing, and are not always well made
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(tag, name, value or "") for name, value in attrs]


def outside(text: str) -> list[tuple[str, str, str]]:
    """What a page that shows the text would have elsewhere, and may not."""
    return [
        (tag, name, value)
        for tag, name, value in Targets(MARKDOWN.render(text)).found
        if name not in ("class", "alt", "title") and is_outside(value)
        if not (tag == "a" and name == "href" and (value == KNOWN or value.startswith(f"https://{LISTED}/")))
    ]


def is_outside(value: str) -> bool:
    read = re.sub(r"[\t\r\n]", "", value).strip("".join(map(chr, range(33)))).replace("\\", "/")
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|//", read))


PARTS = st.sampled_from(
    ["![", "[", "]", "](", "]:", "(", ")", "<", ">", "<img src=", "<a href=", "</a>", "<b>", "<b style='//x'>", "<!--",
     "<script>", "</script>", "`", "``", "```", "~~~", "\n", "\n\n", "\r", "\t", " ", "    ", "- ", "> ", "1. ", "\\",
     "|", "|-|-|\n", "a", "h", "b c", "\"", "'", "/own", "&#47;", "&colon;", "$$", "!", "*", "http://evil.example",
     "//evil.example", "https:evil.example", "javascript:x", "<http://evil.example>", "<ttp://evil.example>",
     "ttp://evil.example)", "[r]: http://evil.example", "![r]", "![a](http://evil.example)", "m@evil.example>",
     "<img src='//evil.example'>",
     "](http://evil.example)", "alt='http://evil.example'", KNOWN, f"]({KNOWN})", f"![a]({KNOWN})", "![a [b",
     f"<a href='{KNOWN}'>", f"](https://{LISTED}/?q=1)", f"<{KNOWN}>"],
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.lists(PARTS, max_size=14).map("".join), min_size=1, max_size=3),
    st.lists(st.integers(0, 80), max_size=8),
)
def test_no_page_has_a_target_elsewhere_and_the_pieces_change_nothing(turns: list[str], cuts: list[int]) -> None:
    out: list[str] = []
    whole: list[str] = []
    for turn in turns:
        if out and not "".join(out)[-1].isspace():
            out.append("\n\n")
            whole.append("\n\n")
        places = sorted({0, len(turn), *(cut for cut in cuts if cut < len(turn))})
        links, at_once = make_filter(out), make_filter(whole)
        for start, end in pairwise(places):
            links.put(turn[start:end])
        links.end()
        at_once.put(turn)
        at_once.end()
    said = "".join(out)
    assert said == "".join(whole)
    assert outside(said) == []
