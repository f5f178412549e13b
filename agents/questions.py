"""What counts as a question, and as a request id: the same over every transport."""

import re

from infrastructure.errors import InvalidInput

MIN_CHARS = 3
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}\Z")


def clean_question(value: object, max_chars: int) -> str:
    """The question without surrounding white space.

    Raises:
        InvalidInput: not text, too short, too long, or with characters that are no text (NUL, lone surrogates).
    """
    if value is None or value == "":
        raise InvalidInput("question is missing or empty.")
    if not isinstance(value, str):
        raise InvalidInput("question must be text.")
    question = value.strip()
    if len(question) < MIN_CHARS:
        raise InvalidInput(f"question must have at least {MIN_CHARS} characters.")
    if len(question) > max_chars:
        raise InvalidInput(f"question must have at most {max_chars} characters.")
    if "\0" in question or (not question.isascii() and any("\ud800" <= char <= "\udfff" for char in question)):
        raise InvalidInput("question must be valid text.")
    return question


def clean_request_id(value: object) -> str | None:
    """A client-made request id, or None where there is none.

    Raises:
        InvalidInput: it has other characters than letters, digits and `._:-`, or more than 128 of them.
    """
    if value is None:
        return None
    if not isinstance(value, str) or not REQUEST_ID.match(value):
        raise InvalidInput("request_id must be 1 to 128 letters, digits or ._:- characters.")
    return value
