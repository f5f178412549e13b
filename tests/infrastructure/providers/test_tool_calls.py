import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.errors import ProviderProtocolError
from infrastructure.providers.tool_calls import ToolCallPieces
from infrastructure.providers.types import ToolCall


def piece(arguments: str | None = None, **fields: object) -> dict[str, object]:
    name = fields.pop("name", None)
    return fields | {"function": {"name": name, "arguments": arguments}}


def assembled(*deltas: list[dict[str, object]]) -> tuple[ToolCall, ...]:
    pieces = ToolCallPieces()
    for delta in deltas:
        pieces.add_all(delta)
    return pieces.finish()


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5), st.integers(1, 5))
def test_arguments_come_out_as_they_went_in(arguments: list[str], size: int) -> None:
    deltas = [[piece("", index=n, id=f"id{n}", name=f"tool{n}")] for n in range(len(arguments))]
    longest = max(map(len, arguments))
    for start in range(0, longest, size):
        deltas.append([piece(text[start : start + size], index=n) for n, text in enumerate(arguments)])
    expected = tuple(ToolCall(f"id{n}", f"tool{n}", text) for n, text in enumerate(arguments))
    assert assembled(*deltas) == expected


def test_ids_and_names_may_come_late() -> None:
    assert assembled([piece("{", index=0)], [piece("}", index=0, id="a")], [piece(index=0, name="f")]) == (
        ToolCall("a", "f", "{}"),
    )


def test_ids_that_never_come_are_made() -> None:
    assert [call.id for call in assembled([piece("{}", index=1, name="g"), piece("{}", index=0, name="f")])] == [
        "call_1",
        "call_2",
    ]


def test_one_call_needs_no_index() -> None:
    assert assembled([piece("{", name="f")], [piece("}")]) == (ToolCall("call_1", "f", "{}"),)


def test_without_an_index_a_new_id_is_a_new_call() -> None:
    calls = assembled(
        [piece("{", id="a", name="f")],
        [piece("}", id="a")],
        [piece("[", id="b", name="g")],
        [piece("]")],
    )
    assert calls == (ToolCall("a", "f", "{}"), ToolCall("b", "g", "[]"))


def test_calls_keep_the_order_of_their_index() -> None:
    assert [call.name for call in assembled([piece(index=2, name="c")], [piece(index=0, name="a")])] == ["a", "c"]


def test_a_name_sent_twice_is_one_name() -> None:
    assert assembled([piece(index=0, name="f")], [piece(index=0, name="f")])[0].name == "f"


def test_nothing_called_is_nothing() -> None:
    assert not ToolCallPieces()
    assert assembled() == ()


def test_many_short_pieces_are_limited_as_one_long() -> None:
    pieces = ToolCallPieces()
    pieces.add_all([piece(index=0, name="f")])
    for _ in range(64):
        pieces.add_all([piece("x" * 1024, index=0)])
    with pytest.raises(ProviderProtocolError):
        pieces.add_all([piece("x", index=0)])
