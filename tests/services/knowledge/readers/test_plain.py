"""Plain text and source code: where blocks begin and end."""

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from services.knowledge.readers.limits import ReadingLimits
from services.knowledge.readers.plain import read_plain, read_source
from tests.services.knowledge.readers.made import read

PARAGRAPH = re.compile(r"\S(?:.*\n?)(?:[^\S\n]*\S.*\n?)*")  # what a paragraph is, in a way that takes too much memory


@given(st.text(alphabet="ab \t\n\u2028\x0b#", max_size=80))
def test_paragraphs_are_what_empty_lines_part(text: str) -> None:
    blocks = read_plain(text, ReadingLimits()).blocks
    assert [(block.start, block.end) for block in blocks] == [match.span() for match in PARAGRAPH.finditer(text)]


@given(st.text(alphabet="ab \t\n", max_size=80))
def test_source_code_is_in_blocks_that_begin_at_the_margin(text: str) -> None:
    at = 0
    for block in read_source(text, ReadingLimits()).blocks:
        assert not text[at : block.start].strip()
        assert at == 0 or text[block.start - 1] == "\n"
        at = block.end
    assert not text[at:].strip()


def test_a_function_is_one_block_with_its_empty_lines(tmp_path: Path) -> None:
    source = b"import os\n\n\ndef one():\n    a = 1\n\n    return a\n\n\nclass Two:\n\n    x = 2\n"
    document = read(tmp_path, "a.py", source)
    pieces = [document.text[block.start : block.end] for block in document.blocks]
    assert [piece.split("\n")[0] for piece in pieces] == ["import os", "def one():", "class Two:"]
    assert {block.kind for block in document.blocks} == {"lines"}
    assert document.media_type == "text/x-python"
    assert document.text.encode() == source


def test_small_paragraphs_of_a_very_long_text_go_together() -> None:
    text = "a\n\n" * 150_000
    blocks = read_plain(text, ReadingLimits()).blocks
    assert 0 < len(blocks) < 2_000
    assert "".join(text[block.start : block.end] for block in blocks).count("a") == 150_000
