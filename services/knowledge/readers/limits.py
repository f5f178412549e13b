"""What reading one file may take. A file from a stranger can be made to take without end."""

from dataclasses import dataclass

TOO_LONG = "its text is too long"
TOO_MUCH_MEMORY = "reading it needs too much memory"
TOO_SLOW = "reading it took too long"
DAMAGED = "it is damaged"
ENCRYPTED = "it is encrypted"
NO_TEXT = "it holds no text"
ONLY_IMAGES = "it holds no text: only images; text recognition is not done here"
UNPACKS_TO_TOO_MUCH = "it unpacks to too much"


@dataclass(frozen=True, slots=True)
class ReadingLimits:
    """Bounds of reading one file. `seconds` and `memory_bytes` are kept by the reading process, the others by readers.

    `text_chars` lets every text file of 50 MB pass; `memory_bytes` is what a file may take besides the interpreter.
    """

    seconds: float = 120.0
    memory_bytes: int = 1024**3
    text_chars: int = 50 * 1024**2
    chunks: int = 100_000
    pages: int = 5_000
    unpacked_bytes: int = 500 * 1024**2
    members: int = 10_000  # of an archive: documents have hundreds
    ratio: int = (
        200  # unpacked to packed, once more than `ratio_from` is unpacked: text packs to a tenth, a bomb to 1:1000
    )
    ratio_from: int = 32 * 1024**2
    cells: int = 20_000_000  # of a workbook, the empty ones between others too
