"""What is seen of an answer, at a terminal and in a pipe; a terminal's screen is read as a person would."""

import asyncio
import io
from typing import Any

import pytest
from rich.console import Console

from backend.terminal.citations import Passage, citation_line, standing
from backend.terminal.plain_view import PlainView
from backend.terminal.screen import Screen
from backend.terminal.screen_view import ScreenView
from tests.e2e.pseudo_terminal import SEQUENCE, Picture

HOSTILE = "\x1b]52;c;aGk=\x07\x1b[2Jx\u202ey\x9b1m"
CITATION = {
    "id": 1,
    "document": "handbook.pdf",
    "section": "Rules",
    "page": 3,
    "quote": "It must.",
    "start": 0,
    "end": 8,
}
ANSWER = """# Title

A paragraph with *words* [1] and <script>alert(1)</script>.

- one
- two

```python
x = 1
```

The end.
"""


class Seen:
    """A view on a terminal in memory."""

    def __init__(self, columns: int = 60, rows: int = 20) -> None:
        self.file = io.StringIO()
        console = Console(
            file=self.file, force_terminal=True, width=columns, height=rows, highlight=False, markup=False, emoji=False,
            color_system="truecolor", _environ={"TERM": "xterm-256color"},
        )  # fmt: skip
        self.screen = Screen(console)
        self.view = ScreenView(self.screen)
        self._columns = columns

    @property
    def text(self) -> str:
        picture = Picture(self._columns)
        picture.write(self.file.getvalue().replace("\n", "\r\n"))  # as a terminal's line discipline does
        return picture.text

    @property
    def unexplained(self) -> str:
        """What was written that is neither text nor a sequence that moves the cursor or styles text."""
        rest = SEQUENCE.sub(lambda match: "" if match[2] and match[2] in "mAKhlJ" else match[0], self.file.getvalue())
        return "".join(one for one in rest if not one.isprintable() and one not in "\n\r")


async def test_words_are_seen_as_they_come_and_once() -> None:
    seen = Seen()
    text = ""
    for piece in ("One ", "two.\n\nThr", "ee ", "four.\n"):
        seen.view.text(piece)
        text += piece
        await asyncio.sleep(0.06)  # longer than the pause between two drawings
        assert seen.text.split() == text.split()
    seen.view.finish()
    assert seen.text == "One two.\n\nThree four."


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
async def test_however_it_came_the_answer_looks_the_same(size: int) -> None:
    seen = Seen()
    for at in range(0, len(ANSWER), size):
        seen.view.text(ANSWER[at : at + size])
    seen.view.finish()
    assert seen.text == (
        "Title\n\nA paragraph with words [1] and <script>alert(1)</script>.\n\n • one\n • two\n\n x = 1\n\nThe end."
    )


async def test_the_first_words_are_drawn_at_once() -> None:
    seen = Seen()
    seen.view.text("Hello")
    assert seen.text == "Hello"
    seen.view.finish()


async def test_a_block_that_is_longer_than_the_screen_is_there_whole_and_once_at_its_end() -> None:
    seen = Seen(rows=10)
    lines = [f"line{n} = {n}" for n in range(50)]
    seen.view.text("```python\n")
    for line in lines:
        seen.view.text(f"{line}\n")
        await asyncio.sleep(0)
    seen.view.text("```\n")
    seen.view.finish()
    assert [line.strip() for line in seen.text.splitlines()] == lines


async def test_steps_are_told_between_what_is_written() -> None:
    seen = Seen()
    seen.view.step({"name": "retrieve", "state": "started"})
    assert seen.text == "… retrieve"
    seen.view.step({"name": "retrieve", "state": "finished", "detail": "6 passages"})
    seen.view.text("One moment. ")
    seen.view.step({"name": "notes", "state": "failed", "detail": "no such note"})
    seen.view.text("Done.")
    seen.view.finish()
    seen.view.sources({"confidence": 0.934, "grounded": True, "model": "m", "cached": True}, [CITATION])
    assert seen.text == (
        "· retrieve: 6 passages\nOne moment.\n· notes failed no such note\nDone.\n\n"
        "  [1] handbook.pdf · Rules · page 3\n  confidence 0.93 · grounded · m · said before"
    )


async def test_nothing_hostile_gets_to_the_terminal() -> None:
    seen = Seen(columns=200)
    hostile = {"name": HOSTILE, "state": "finished", "detail": HOSTILE, "model": HOSTILE, "document": HOSTILE}
    seen.view.step(hostile)
    seen.view.text(f"{HOSTILE} [a]({HOSTILE}) `{HOSTILE}`\n\n```{HOSTILE}\n{HOSTILE}\n```\n\n{HOSTILE}")
    seen.view.aside(HOSTILE)
    seen.view.anew()
    seen.view.text(HOSTILE)
    seen.view.finish()
    seen.view.sources(hostile, [hostile | {"section": HOSTILE, "id": 1}])
    seen.view.problem(HOSTILE)
    seen.screen.say(HOSTILE)
    seen.screen.aside(HOSTILE)
    seen.screen.rows([(HOSTILE, HOSTILE)])
    seen.screen.passage(HOSTILE, Passage(HOSTILE, HOSTILE, HOSTILE))
    assert seen.unexplained == ""
    assert "\u202e" not in seen.file.getvalue()
    assert "\x1b[2J" not in seen.file.getvalue()
    assert "]52;c;aGk=" in seen.text  # it is shown as the text that it is


async def test_rich_markup_and_html_are_text() -> None:
    seen = Seen()
    seen.view.text("[bold]x[/bold] [link=http://a]y[/link] :smile: <b>z</b>")
    seen.view.finish()
    assert seen.text == "[bold]x[/bold] [link=http://a]y[/link] :smile: <b>z</b>"


def test_the_passage_shows_where_the_quote_is() -> None:
    seen = Seen()
    seen.screen.passage("[1] a.md", Passage("before ", "the quote", " after"))
    assert seen.text == "[1] a.md\nbefore ⟦the quote⟧ after"


def test_a_row_that_is_too_long_is_cut() -> None:
    seen = Seen(columns=20)
    seen.screen.rows([("a", "short"), ("bb", "x" * 50)])
    assert seen.text == "  a   short\n  bb  xxxxxxxxxxxxx…"


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"id": 2, "document": "a\nb.md"}, "[2] a b.md"),
        ({"document": 7, "section": [], "page": "x"}, "[0] a document"),
    ],
)
def test_a_citation_is_one_line(fields: dict[str, Any], line: str) -> None:
    assert citation_line(fields) == line


def test_what_is_not_known_of_an_answer_is_not_said() -> None:
    assert standing({}) == ""
    assert standing({"confidence": True, "grounded": None, "model": None}) == ""
    assert standing({"confidence": 0.5, "grounded": False}) == "confidence 0.50 · not grounded"


def test_a_pipe_gets_the_text_and_its_sources_and_stderr_the_rest() -> None:
    out, err = io.StringIO(), io.StringIO()
    view = PlainView(out, err)
    view.step({"name": "retrieve"})
    view.text("# As it ")
    view.text("")
    view.text("is\x1b[31m.")
    view.aside("connection lost")
    view.finish()
    view.finish()
    view.sources({"confidence": 1.0}, [CITATION])
    view.problem("no\nway")
    assert out.getvalue() == "# As it is␛[31m.\n\n[1] handbook.pdf · Rules · page 3\n"
    assert err.getvalue() == "askgraph: connection lost\naskgraph: no way\n"


def test_an_answer_that_begins_anew_begins_on_a_line_of_its_own() -> None:
    out, err = io.StringIO(), io.StringIO()
    view = PlainView(out, err)
    view.text("half")
    view.anew()
    view.text("whole\n")
    view.finish()
    view.sources({}, [])
    assert out.getvalue() == "half\nwhole\n"
    assert "anew" in err.getvalue()
