"""Sentences and their places."""
# ruff: noqa: RUF001 -- the marks of several scripts are what this is about

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.knowledge.split import split_sentences


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It rained. We left! Why?", ["It rained.", "We left!", "Why?"]),
        ("Dr. Smith paid 3.5 percent, e.g. to J. R. Tolkien. He did.", None),
        ("It cost $5.00 in the U.S. market. It fell.", None),
        ("See No. 5 of it. He said no. Then he left.", ["See No. 5 of it.", "He said no.", "Then he left."]),
        ("It ended.[citation needed] Next came one.", ["It ended.[citation needed]", "Next came one."]),
        ('"Why?" he asked. "So."', ['"Why?" he asked.', '"So."']),
        ("A line\nthat goes on. Another one.", ["A line\nthat goes on.", "Another one."]),
        ("这是一句。第二句！", ["这是一句。", "第二句！"]),
        ("Wait... What?", ["Wait...", "What?"]),
        ("1. First one. Second", ["1. First one.", "Second"]),
        ("", []),
        (" \n\n ... \n", []),
    ],
)
def test_a_text_is_cut_where_its_sentences_end(text: str, expected: list[str] | None) -> None:
    found = sentences(text)
    assert found == expected if expected is not None else len(found) == 2


def test_headings_rules_and_fences_are_no_sentences() -> None:
    text = "# Title\n\nUnder\n=====\n\nText here.\n\n---\n\n```python\nx = 1\n```\nAfter it."
    assert sentences(text) == ["Text here.", "x = 1", "After it."]


def test_list_items_and_table_rows_begin_sentences() -> None:
    text = "Kinds:\n- one thing\n  goes on\n- another. And more\n2) third\n\n| a | b |\n|---|---|\n| x. Y | z |\n"
    assert sentences(text) == [
        "Kinds:",
        "- one thing\n  goes on",
        "- another.",
        "And more",
        "2) third",
        "| a | b |",
        "| x. Y | z |",
    ]


PIECES = st.sampled_from(
    ["Word. ", "e.g. ", "\n", "\n\n", "- item ", "# H", "| a |", "3.5 ", "。", "```\n", "[1]", "\r\n", "é! "]
)


@given(st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=30).map("".join)))
def test_places_are_in_order_apart_and_without_white_space_around(text: str) -> None:
    end_before = 0
    for start, end in split_sentences(text):
        assert end_before <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        end_before = end
