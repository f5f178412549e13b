"""Words leave as soon as they are finished; unfinished ones wait a moment; nothing is lost or added."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.words import PATIENCE_CHARS, PATIENCE_SECONDS, WordGrouper


class Timer:
    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at = at
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """Just enough of an event loop: time goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + delay, call))
        return self.timers[-1]

    @property
    def pending(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.cancelled]

    def advance(self, seconds: float) -> None:
        self.now += seconds
        due = [timer for timer in self.pending if timer.at <= self.now + 1e-9]
        self.timers = [timer for timer in self.pending if timer not in due]
        for timer in due:
            timer.call()


class Grouped:
    def __init__(self) -> None:
        self.loop = Loop()
        self.sent: list[str] = []
        loop: Any = self.loop
        self.grouper = WordGrouper(self.sent.append, loop)


@pytest.fixture
def grouped() -> Grouped:
    return Grouped()


TEXTS = st.text(alphabet=st.sampled_from("ab é字\n\t\x1c\u2003.🦜"), max_size=80) | st.text(max_size=30)
WAITS = st.sampled_from([0.0, 0.01, PATIENCE_SECONDS, 1.0])


@given(st.lists(st.tuples(TEXTS, WAITS)))
def test_whatever_the_split_the_pieces_joined_are_the_text(reads: list[tuple[str, float]]) -> None:
    grouped = Grouped()
    for text, wait in reads:
        grouped.grouper.put(text)
        grouped.loop.advance(wait)
    grouped.grouper.flush()
    assert "".join(grouped.sent) == "".join(text for text, _ in reads)
    assert all(grouped.sent)


@given(st.lists(st.tuples(TEXTS, WAITS)))
def test_at_no_time_is_more_held_back_than_one_unfinished_word(reads: list[tuple[str, float]]) -> None:
    grouped, whole = Grouped(), ""
    for text, wait in reads:
        grouped.grouper.put(text)
        whole += text
        held = whole[len("".join(grouped.sent)) :]
        assert not any(char.isspace() for char in held)
        assert len(held) < PATIENCE_CHARS
        assert bool(grouped.loop.pending) == bool(held) == grouped.grouper.holds
        grouped.loop.advance(wait)
        if wait >= PATIENCE_SECONDS:
            assert not grouped.grouper.holds


def test_words_of_one_read_leave_at_once_and_together(grouped: Grouped) -> None:
    grouped.grouper.put("one two three ")
    assert grouped.sent == ["one two three "]
    assert not grouped.loop.pending


def test_an_unfinished_word_waits_for_its_end_and_leaves_with_it(grouped: Grouped) -> None:
    grouped.grouper.put("one tw")
    assert grouped.sent == ["one "]
    grouped.grouper.put("o ")
    assert grouped.sent == ["one ", "two "]


def test_an_unfinished_word_waits_no_longer_than_its_patience(grouped: Grouped) -> None:
    grouped.grouper.put("wo")
    grouped.loop.advance(0.020)
    grouped.grouper.put("rd")
    grouped.loop.advance(0.019)
    assert grouped.sent == []
    grouped.loop.advance(0.001)
    assert grouped.sent == ["word"]


def test_a_new_word_has_the_whole_patience(grouped: Grouped) -> None:
    grouped.grouper.put("on")
    grouped.loop.advance(0.030)
    grouped.grouper.put("e tw")
    grouped.loop.advance(0.030)
    assert grouped.sent == ["one "]
    grouped.loop.advance(0.010)
    assert grouped.sent == ["one ", "tw"]


def test_text_without_spaces_leaves_after_so_many_characters(grouped: Grouped) -> None:
    for _ in range(PATIENCE_CHARS - 1):
        grouped.grouper.put("字")
    assert grouped.sent == []
    grouped.grouper.put("字")
    assert grouped.sent == ["字" * PATIENCE_CHARS]


def test_nothing_put_is_nothing_sent(grouped: Grouped) -> None:
    grouped.grouper.put("")
    grouped.grouper.flush()
    assert grouped.sent == []
    assert not grouped.loop.pending
