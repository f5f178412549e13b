"""Which changes an index has taken in, in whatever order they come."""

from hypothesis import given
from hypothesis import strategies as st

from services.knowledge import generations
from services.knowledge.generations import Generations


@given(st.permutations(range(1, 9)))
def test_in_any_order_all_changes_make_a_whole(order: list[int]) -> None:
    held, seen = Generations(), set()
    for generation in order:
        held.note(generation)
        seen.add(generation)
        assert all(held.has(one) == (one in seen) for one in range(1, 10))
        assert set(range(1, held.whole + 1)) <= seen
        assert held.whole + 1 not in seen
    assert held.whole == 8


def test_several_changes_may_come_as_one() -> None:
    held = Generations(2)
    held.note(8, 2)
    assert (held.whole, held.has(7), held.has(6)) == (2, True, False)
    held.note(6, 4)
    assert held.whole == 8


def test_what_was_read_as_a_whole_joins_what_came_after_it() -> None:
    held = Generations()
    held.note(5)
    held.note(8)
    held.reach(4)
    assert (held.whole, held.has(8)) == (5, True)
    held.reach(3)
    assert held.whole == 5


def test_not_all_that_comes_out_of_turn_is_remembered(monkeypatch: object) -> None:
    held = Generations()
    for generation in range(2, generations._MOST_LATER + 3):
        held.note(generation)
    assert not held.has(2), "it is taken in once more"
