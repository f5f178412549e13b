"""Text that a client sent, fit to be kept: no NUL (PostgreSQL has none) and no lone surrogates (UTF-8 has none)."""

import re
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def valid_text(value: str) -> str:
    """`value`, if it can be kept.

    Raises:
        PydanticCustomError: it holds NUL or a lone surrogate.
    """
    if _NO_TEXT.search(value):
        raise PydanticCustomError("text", "must be valid text, without NUL and lone surrogates")
    return value


CleanText = Annotated[str, AfterValidator(valid_text)]
