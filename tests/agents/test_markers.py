"""Markers on their way to the reader: those that name no source never get there, whatever pieces they come in."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.links import LinkFilter
from agents.markers import LONGEST, Emit, MarkerFilter
from services.link_policy import LinkPolicy


def make_filter(emit: Emit, sources: int) -> MarkerFilter:
    return MarkerFilter(emit, sources, LinkFilter(emit, str, LinkPolicy()))


def passed_on(pieces: list[str], sources: int = 3) -> tuple[str, int]:
    out: list[str] = []
    markers = make_filter(out.append, sources)
    for piece in pieces:
        markers.put(piece)
    markers.end()
    assert "" not in out
    return "".join(out), markers.dropped


@pytest.mark.parametrize(
    ("text", "kept", "dropped"),
    [
        ("Pools pay [1].", "Pools pay [1].", 0),
        ("Pools pay [9].", "Pools pay.", 1),
        ("Pools pay[9].", "Pools pay.", 1),
        ("Pools pay [0].", "Pools pay.", 1),
        ("Pools pay [2, 9].", "Pools pay [2].", 1),
        ("Pools pay [1;3;4] well.", "Pools pay [1, 3] well.", 1),
        ("Pools pay [1][7][2].", "Pools pay [1][2].", 1),
        ("Take `row[9]` here [9].", "Take `row[9]` here.", 1),
        ("```\nx[9]\n``` and [9]", "```\nx[9]\n``` and", 1),
        ("In [2024] it rose.", "In [2024] it rose.", 0),
        ("An [aside] and [", "An [aside] and [", 0),
        ("Spaces [ 9 ] go", "Spaces go", 1),
        ("", "", 0),
    ],
)
def test_only_markers_of_sources_pass(text: str, kept: str, dropped: int) -> None:
    assert passed_on([text]) == (kept, dropped)


@given(st.text(alphabet="ab [],;`0123456789.\n", max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_the_pieces_that_a_text_comes_in_change_nothing(text: str, cuts: list[int]) -> None:
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in pairwise(places)]
    got = passed_on(pieces)[0]
    bad = [n for marker in re.findall(r"\[\s*\d{1,3}\s*\]", got) for n in re.findall(r"\d+", marker)]
    assert "`" in text or all(1 <= int(n) <= 3 for n in bad)
    if "`" not in text and not re.search(rf"\[[\d\s,;]{{{LONGEST - 1},}}", text):
        assert got.replace(" ", "") == passed_on([text])[0].replace(" ", "")


def test_text_waits_only_behind_a_bracket_that_may_begin_a_marker() -> None:
    out: list[str] = []
    markers = make_filter(out.append, 1)
    markers.put("One [")
    assert out == ["One "]
    markers.put("1")
    assert out == ["One "]
    markers.put("] two")
    assert "".join(out) == "One [1] two"
    markers.put(" [1, 1, 1, 1, 1, 1, 1, 1, 1")
    assert "".join(out).endswith("1, 1")
