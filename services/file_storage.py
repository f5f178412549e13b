"""Where the bytes of uploaded files are kept, as those above see it."""

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Protocol


class FileStorage(Protocol):
    """Bytes by key. A key is made by the service, `files/<uuid>`, and written once; it never holds a file's name.

    All of these raise `StorageUnavailable` when the disk or the server fails, and ValueError for a key that is none.
    """

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Keep the bytes, all or nothing: when the chunks end in an error, or the caller is cancelled, or the storage
        fails, nothing is left under the key. What the chunks raise is passed on as it is."""

    def read(self, key: str) -> AsyncGenerator[bytes, None]:
        """The bytes, in chunks of at most 256 KiB. One that may be left early is closed with `aclosing`.

        Raises:
            NotFound: nothing is kept under the key; before the first chunk.
        """

    async def fetch(self, key: str, target: Path) -> None:
        """Put the bytes into a local file, replacing one that is there. It is for reading only: with local storage it
        is another name of the kept file. When this fails there is no such file.

        Raises:
            NotFound: nothing is kept under the key.
        """

    async def delete(self, key: str) -> None:
        """Forget the bytes; nothing happens if there are none."""

    def keys(self) -> AsyncGenerator[tuple[str, datetime], None]:
        """All keys in no order, each with the time of its last change: for finding what no row refers to."""

    async def aclose(self) -> None:
        """Finish what is still being cleared away."""
