"""How bytes become text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.text_encoding import decode_text


def test_the_encoding_is_told_by_where_the_first_odd_byte_is() -> None:
    data = b"plain ascii line\n" * 20_000 + ("Съешь ещё этих мягких французских булок\n" * 20).encode("cp1251")
    assert decode_text(data).endswith("французских булок\n")


def test_one_bad_byte_does_not_turn_utf_8_into_something_else() -> None:
    data = ("Grüße aus Köln, schöne Häuser\n" * 20).encode() + b"\xff\n"
    assert decode_text(data) == "Grüße aus Köln, schöne Häuser\n" * 20 + "\ufffd\n"


@pytest.mark.parametrize("data", [b"a\0b", b"\xff" + b"\x01" * 99, "a\0b".encode("utf-16")])
def test_what_is_no_text_is_not_decoded(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"NUL|encoding"):
        decode_text(data)


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda data: b"\xff\xfe" + data))
def test_it_decodes_or_says_that_it_cannot(data: bytes) -> None:
    try:
        text = decode_text(data)
    except ValueError:
        return
    assert "\0" not in text


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).filter(lambda t: t[:1] != "\ufeff"))
def test_unicode_comes_back_as_it_was(text: str) -> None:
    assert decode_text(text.encode()) == text
    assert decode_text(text.encode("utf-8-sig")) == text
