"""What a terminal is shown: text that is no command, cut into blocks wherever it was cut on its way."""

import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.terminal.answer_text import AnswerText
from backend.terminal.blocks import Blocks, tail
from backend.terminal.printable import one_line, printable

HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b31m\u202egnp.exe\u2066\u200b\r\x00\x7f\u2028\ud800\U000e0041"
PARTS = [
    "# Heading", "A paragraph of *some* words\nover two lines", "- one\n- two\n\n  still two\n- three", "1. a\n2. b",
    "```python\ndef f():\n\n    return 1\n```", "| a | b |\n|---|---|\n| 1 | 2 |", "> a quote\n> goes on", "---",
    "Setext\n======", "    indented code\n\n    goes on", "~~~\n# no heading\n~~~", "<b>no html</b>", "last\\\nbreak",
]  # fmt: skip


@given(st.text())
def test_nothing_that_a_terminal_acts_on_is_left(text: str) -> None:
    for one in printable(text):
        assert one in "\n\t" or unicodedata.category(one) not in ("Cc", "Cs", "Zl", "Zp")
        assert unicodedata.bidirectional(one) not in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    assert printable(printable(text)) == printable(text)


def test_what_people_write_stays_as_it_is() -> None:
    text = "Añb 漢字 العربية עברית 👩‍👩‍👧 e\u0301\tcolumn\nline\n"
    assert printable(text) == text


def test_a_hostile_text_shows_what_it_is_made_of() -> None:
    shown = printable(HOSTILE)
    assert shown.startswith("␛]0;title␇␛[2J\ufffd31m\ufffdgnp.exe\ufffd\ufffd␍␀␡\ufffd\ufffd")
    assert shown.isprintable()


def test_a_name_is_one_line_of_bounded_length() -> None:
    assert one_line("a\n\n b\tc\r\nd ") == "a b c d"
    assert one_line("x" * 300, 10) == "x" * 9 + "…"


@pytest.mark.parametrize("seed", range(40))
def test_wherever_a_text_is_cut_its_blocks_are_the_same(seed: int) -> None:
    chance = random.Random(seed)
    parts = chance.choices(PARTS, k=8)
    text = "\n\n".join(parts)
    blocks, got = Blocks(), []
    at = 0
    while at < len(text):
        size = chance.randint(1, 12)
        got += blocks.add(text[at : at + size])
        at += size
    whole = Blocks()
    expected = [*whole.add(text), whole.rest()]
    assert [*got, blocks.rest()] == expected
    assert "".join("".join(expected).split()) == "".join(text.split())
    assert blocks.open == ""


def test_a_block_is_finished_when_the_next_one_has_begun() -> None:
    blocks = Blocks()
    assert blocks.add("One.\n\nTw") == []
    assert blocks.add("o.\n") == ["One."]
    assert blocks.open == "Two.\n"
    assert blocks.rest() == "Two."


def test_a_fence_that_is_open_holds_what_looks_like_blocks() -> None:
    blocks = Blocks()
    assert blocks.add("```\n# a\n\n# b\n\n") == []
    assert blocks.add("```\n\nafter\n") == ["```\n# a\n\n# b\n\n```"]


def test_of_long_code_the_fence_and_the_end_are_drawn() -> None:
    code = "```python\n" + "\n".join(f"x{n} = {n}" for n in range(100))
    assert tail(code, 3) == "```python\nx97 = 97\nx98 = 98\nx99 = 99"
    assert tail("a\nb\nc\nd\ne", 2) == "d\ne"
    assert tail("a\nb", 5) == "a\nb"


def test_the_parts_of_an_answer_joined_are_the_answer() -> None:
    answer = AnswerText()
    new = [
        answer.take(frame)
        for frame in (
            {"type": "word", "content": "one "},
            {"type": "snapshot", "answer": "one two "},
            {"type": "word", "content": "three"},
            {"type": "complete", "answer": "one two three"},
        )
    ]
    assert new == ["one ", "two ", "three", ""]
    assert answer.take({"type": "complete", "answer": "something else"}) == ""
    assert answer.text == "one two three"
