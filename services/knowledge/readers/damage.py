"""What a damaged file makes libraries raise, told as what it is."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from infrastructure.errors import KnowledgeError
from services.knowledge.readers.limits import DAMAGED

_OF_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, NotImplementedError, RecursionError),
    *(LookupError, ValueError, TypeError, AttributeError, AssertionError, ArithmeticError, SyntaxError),
)
_NO_MEMORY = 2  # libxml2's XML_ERR_NO_MEMORY


@contextmanager
def telling_damage() -> Iterator[None]:
    """Around a library that reads a file: whatever it stumbles over becomes "it is damaged".

    Libraries for office files do not check what they read; a missing part or attribute ends in a KeyError, a
    ValueError or an AttributeError of theirs.

    Raises:
        KnowledgeError: instead of any of those.
        MemoryError: lxml tells of it as of a fault in the XML.
    """
    try:
        yield
    except _OF_DAMAGE as error:
        if is_want_of_memory(error):
            raise MemoryError from error
        raise KnowledgeError(DAMAGED) from error


def is_want_of_memory(error: Exception) -> bool:
    """Whether what lxml calls a fault in the XML is none."""
    return isinstance(error, SyntaxError) and getattr(error, "code", None) == _NO_MEMORY
