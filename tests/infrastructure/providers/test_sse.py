from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.errors import ProviderProtocolError
from infrastructure.providers.sse import DataLines

payloads = st.lists(
    st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1).filter(
        lambda text: text.encode() == text.encode().strip()
    )
)
ends = st.sampled_from(["\n\n", "\r\n\r\n", "\n", "\n: comment\n\n", "\r\nevent: x\r\n\r\n"])


@given(payloads, ends, st.sampled_from(["data: ", "data:"]), st.data())
def test_the_cuts_of_the_network_change_nothing(lines: list[str], end: str, prefix: str, data: st.DataObject) -> None:
    stream = "".join(prefix + line + end for line in lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    reader = DataLines()
    found = [
        payload
        for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for payload in reader.feed(stream[start:stop])
    ]
    assert found == [line.encode() for line in lines]
    assert reader.end() == []


def test_an_unfinished_last_line_counts() -> None:
    reader = DataLines()
    assert reader.feed(b"data: on") == []
    assert reader.feed(b"e") == []
    assert reader.end() == [b"one"]


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_a_line_has_a_limit_however_it_arrives(size: int) -> None:
    whole = b"data: " + b"x" * 4 + b"\n"
    assert DataLines(limit=10).feed(whole) == [b"xxxx"]
    long = b"data: " + b"x" * 40 + b"\n"
    reader = DataLines(limit=10)
    with pytest.raises(ProviderProtocolError):
        deque(reader.feed(long[start : start + size]) for start in range(0, len(long), size))


def test_many_short_lines_in_a_long_read_are_fine() -> None:
    assert DataLines(limit=10).feed(b"data: x\n" * 50) == [b"x"] * 50
