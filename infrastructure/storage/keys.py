"""What a key of a stored file may be, and how its bytes are cut."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

CHUNK_BYTES = 256 * 1024
NO_SUCH_FILE = "No such file."
_KEY = re.compile(r"[a-z0-9-]+(?:/[a-z0-9-]+)*")
_LONGEST_KEY = 200


def is_key(key: str) -> bool:
    """Whether `key` is lower-case letters, digits and hyphens, parted by slashes: no dots, so nothing is hidden and
    nothing points upwards."""
    return len(key) <= _LONGEST_KEY and _KEY.fullmatch(key) is not None


def check_key(key: str) -> None:
    """
    Raises:
        ValueError: it is no key. The message does not show it.
    """
    if not is_key(key):
        raise ValueError("a storage key has lower-case letters, digits, hyphens and slashes only")


async def batches(chunks: AsyncIterator[bytes], size: int) -> AsyncGenerator[bytes, None]:
    """The same bytes in fewer pieces: each but the last has at least `size` bytes, none is empty."""
    held: list[bytes] = []
    length = 0
    async for chunk in chunks:
        held.append(chunk)
        length += len(chunk)
        if length >= size:
            yield b"".join(held)
            held, length = [], 0
    if length:
        yield b"".join(held)


def pieces(data: bytes) -> Iterator[bytes]:
    """`data` in pieces of at most `CHUNK_BYTES`."""
    return (data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES))
