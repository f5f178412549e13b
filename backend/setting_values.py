"""What settings are made of: values that several groups of them have in common."""

import re
from typing import Annotated

from pydantic import AliasChoices
from pydantic_settings import NoDecode

Csv = Annotated[tuple[str, ...], NoDecode]
HTTP_URL = re.compile(r"https?://[^/\s]+", re.IGNORECASE)


def also(*names: str) -> AliasChoices:
    """A variable's name, and older ones that are still read."""
    return AliasChoices(*names)


def an_address(value: str | None) -> str | None:
    """
    Raises:
        ValueError: it is no URL of a server.
    """
    if value is not None and not HTTP_URL.match(value.strip()):
        raise ValueError("must be http(s)://host[:port][/path]")
    return value


def split_csv(value: object) -> object:
    """`"a, b"` → `("a", "b")`; what is not text stays as it is."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
