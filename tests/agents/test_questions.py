"""What counts as a question, and as a request id."""

import pytest

from agents.questions import clean_question, clean_request_id
from infrastructure.errors import InvalidInput


@pytest.mark.parametrize(("given", "clean"), [("Why?", "Why?"), ("  Why so? \n", "Why so?"), ("字は何", "字は何")])
def test_a_question_is_taken_without_the_space_around_it(given: str, clean: str) -> None:
    assert clean_question(given, 2000) == clean


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "missing or empty"),
        ("", "missing or empty"),
        (5, "must be text"),
        (["Why?"], "must be text"),
        ({}, "must be text"),
        ("  a ", "at least 3"),
        ("   ", "at least 3"),
        ("x" * 2001, "at most 2000"),
        ("nul\0nul", "valid text"),
        ("lone \ud800", "valid text"),
        (f"lone {chr(0xDFFF)}", "valid text"),
    ],
)
def test_what_is_no_question(value: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        clean_question(value, 2000)


def test_space_around_a_question_does_not_count() -> None:
    assert clean_question(" " * 50 + "x" * 2000 + "\n" * 50, 2000) == "x" * 2000


def test_what_was_asked_is_not_said_back() -> None:
    with pytest.raises(InvalidInput) as refused:
        clean_question("secret" * 1000, 2000)
    assert "secret" not in refused.value.message


@pytest.mark.parametrize("value", ["a", "A-1._:x", "x" * 128, "0190c0de-0000-7000-8000-000000000000"])
def test_a_sound_request_id(value: str) -> None:
    assert clean_request_id(value) == value


def test_no_request_id_is_none() -> None:
    assert clean_request_id(None) is None


@pytest.mark.parametrize("value", ["", "a b", "a\n", "é", "x" * 129, 5, True, ["a"], "a/b", "\0"])
def test_an_unsound_request_id(value: object) -> None:
    with pytest.raises(InvalidInput, match="request_id"):
        clean_request_id(value)
