"""A text ends before a stop sequence, in whatever pieces it comes."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from backend.openai_stops import StopCut

LETTERS = st.text("abc", max_size=30)
STOPS = st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=4)


def said(cut: StopCut, *pieces: str) -> list[str]:
    return [cut.put(piece) for piece in pieces]


def test_the_text_ends_before_the_first_of_them() -> None:
    cut = StopCut(["END", "STOP"])
    assert said(cut, "One. STOP Two. END") == ["One. "]
    assert cut.hit
    assert (said(cut, "Three."), cut.end()) == ([""], "")


def test_one_that_comes_in_pieces_is_found() -> None:
    cut = StopCut(["END"])
    assert said(cut, "One. E", "N", "D Two.") == ["One. ", "", ""]
    assert cut.hit


def test_what_only_begins_like_one_is_said_as_soon_as_that_is_known() -> None:
    cut = StopCut(["END"])
    assert said(cut, "E", "NE", "x", "EN") == ["", "EN", "Ex", ""]
    assert (cut.hit, cut.end(), cut.end()) == (False, "EN", "")


def test_nothing_is_held_that_cannot_become_one() -> None:
    assert said(StopCut(["END"]), "A word ", "and another ") == ["A word ", "and another "]


@given(text=LETTERS, stops=STOPS)
def test_letter_by_letter_it_ends_where_one_is_first_complete(text: str, stops: list[str]) -> None:
    cut = StopCut(stops)
    told = "".join(said(cut, *text)) + cut.end()
    ends = [place + len(stop) for stop in stops if (place := text.find(stop)) >= 0]
    assert cut.hit == bool(ends)
    if not ends:
        assert told == text
        return
    complete = [stop for stop in stops if text[: min(ends)].endswith(stop)]
    assert told == text[: min(ends) - max(map(len, complete))]


@given(text=LETTERS, stops=STOPS, places=st.lists(st.integers(0, 30), max_size=6))
def test_pieces_hold_nothing_back_at_the_end(text: str, stops: list[str], places: list[int]) -> None:
    edges = [0, *sorted(place for place in places if place < len(text)), len(text)]
    cut = StopCut(stops)
    told = "".join(said(cut, *(text[a:b] for a, b in pairwise(edges)))) + cut.end()
    assert text.startswith(told)
    assert not any(stop in told for stop in stops)
    assert cut.hit or told == text
