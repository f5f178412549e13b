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
        if getattr(error, "code", None) == _NO_MEMORY and isinstance(error, SyntaxError):
            raise MemoryError from error
        raise KnowledgeError(DAMAGED) from error
