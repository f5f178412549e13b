"""Files kept on the local disk."""

import os
import shutil
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TypeVar, TypeVarTuple
from uuid import uuid4

import structlog

from infrastructure.errors import NotFound, StorageUnavailable
from infrastructure.storage.keys import NO_SUCH_FILE, batches, check_key, is_key, pieces
from infrastructure.storage.threads import in_thread

if sys.platform != "win32":
    import fcntl

T = TypeVar("T")
Args = TypeVarTuple("Args")
_logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_BATCH_BYTES = 1024 * 1024  # what one hop to a thread reads or writes
_TEMPORARY = ".tmp"  # no key has a dot
_SHARD_CHARS = 2
_UNUSABLE = "The file storage cannot be used at the moment."


class LocalStorage:
    """Files in a folder: `files/0198…c4` is `<folder>/files/c4/0198…c4`, for folders of many thousands are slow.

    A file is written beside and moved into place when it is whole and on the disk. Several processes may share one
    folder. Made by `open`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._temporary = folder / _TEMPORARY

    @classmethod
    async def open(cls, folder: Path) -> "LocalStorage":
        """The storage in `folder`, made when missing, without what uploads of a process that is gone left behind.

        Raises:
            StorageUnavailable: the folder cannot be made or read.
        """
        storage = cls(folder)
        await _to_disk(_clear, storage._temporary)
        return storage

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        upload = _Upload(self._temporary / uuid4().hex, self._path(key))
        try:
            async with aclosing(batches(chunks, _BATCH_BYTES)) as parts:
                async for part in parts:
                    await _to_disk(upload.write, part)
            await _to_disk(upload.finish)
        except BaseException:
            await in_thread(upload.discard)
            raise

    async def read(self, key: str) -> AsyncGenerator[bytes, None]:
        reading = _Reading(self._path(key))
        try:
            while batch := await _on_disk(reading.read, _BATCH_BYTES):
                for piece in pieces(batch):
                    yield piece
        finally:
            reading.close()

    async def fetch(self, key: str, target: Path) -> None:
        await _on_disk(_copy, self._path(key), target)

    async def delete(self, key: str) -> None:
        with suppress(NotFound):
            await _on_disk(os.unlink, self._path(key))

    async def keys(self) -> AsyncGenerator[tuple[str, datetime], None]:
        folders = [self._folder]
        while folders:
            inner, found = await _on_disk(_list, folders.pop())
            folders += inner
            for path, changed in found:
                parts = path.relative_to(self._folder).parts
                key = "/".join((*parts[:-2], parts[-1]))
                if is_key(key) and self._path(key) == path:  # not something that was put there by others
                    yield key, changed

    async def aclose(self) -> None:
        """Nothing is left to do: every call clears up behind itself."""

    def _path(self, key: str) -> Path:
        check_key(key)
        *parents, name = key.split("/")
        return self._folder.joinpath(*parents, name[-_SHARD_CHARS:], name)


class _Upload:
    """A file on its way into its place. Every method blocks."""

    def __init__(self, temporary: Path, target: Path) -> None:
        self._temporary = temporary
        self._target = target
        self._file: IO[bytes] | None = None
        self._placed = False

    def write(self, data: bytes) -> None:
        self._open().write(data)

    def finish(self) -> None:
        """Put the file into its place once it is on the disk, and the place too."""
        file = self._open()
        file.flush()
        os.fsync(file.fileno())
        new_folders = _make_folder(self._target.parent)
        os.replace(self._temporary, self._target)
        self._placed = True
        file.close()
        for folder in (self._target.parent, *new_folders):
            _sync_folder(folder)

    def discard(self) -> None:
        """Leave nothing behind, as far as the disk lets us; what is left is cleared away by the next start."""
        if self._file is None:
            return
        with suppress(OSError):  # closing writes what is still held
            self._file.close()
        for path in (self._temporary, *([self._target] if self._placed else [])):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _open(self) -> IO[bytes]:
        if self._file is None:
            _make_folder(self._temporary.parent)
            descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = os.fdopen(descriptor, "wb")
            _lock(descriptor)
        return self._file


class _Reading:
    """A file that is opened by the first read, within the thread, so that it is never opened without an owner."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def read(self, size: int) -> bytes:
        self._file = self._file or self._path.open("rb", buffering=0)
        return self._file.read(size)

    def close(self) -> None:
        if self._file:
            self._file.close()


async def _on_disk(call: Callable[[*Args], T], *args: *Args) -> T:
    with _disk_errors():
        return await in_thread(call, *args)


async def _to_disk(call: Callable[[*Args], T], *args: *Args) -> T:
    """The same for what makes a file: one that is missing is then no answer but a fault."""
    try:
        return await _on_disk(call, *args)
    except NotFound:
        raise StorageUnavailable(_UNUSABLE) from None


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NotFound(NO_SUCH_FILE) from None
    except OSError as error:
        _logger.warning("file_storage_failed", storage="local", error=type(error).__name__, errno=error.errno)
        raise StorageUnavailable(_UNUSABLE) from None


def _make_folder(folder: Path) -> list[Path]:
    """Make a folder and those above it; the folders that got a new entry by this."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return [path.parent for path in missing]


def _sync_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk: without this a power cut can take back a rename."""
    if sys.platform == "win32":
        return  # it has no such call
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Mark a file as being written by a living process. On Windows an open file cannot be removed anyway.

    Raises:
        BlockingIOError: another has it.
    """
    if sys.platform != "win32":
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _clear(folder: Path) -> None:
    """Remove the unfinished files whose writers are gone. One that is just being made by another process, and has no
    lock for some microseconds yet, may go too: its upload fails then with an error that says to try again."""
    _make_folder(folder)
    for path in folder.iterdir():
        with suppress(BlockingIOError, FileNotFoundError), path.open("rb") as file:
            _lock(file.fileno())
            path.unlink()


def _copy(source: Path, target: Path) -> None:
    """A second name for the file, or a copy where the file system has no such thing or is another."""
    try:
        target.unlink(missing_ok=True)
        os.link(source, target)
        return
    except OSError:
        if not source.exists():
            raise
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        with suppress(OSError):
            target.unlink(missing_ok=True)
        raise NotADirectoryError(error.errno, "the target cannot be written") from None  # whatever it was, not missing


def _list(folder: Path) -> tuple[list[Path], list[tuple[Path, datetime]]]:
    """The folders in a folder, and its files with the times of their last change."""
    folders: list[Path] = []
    files: list[tuple[Path, datetime]] = []
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # deleted meanwhile
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    files.append((Path(entry.path), datetime.fromtimestamp(entry.stat().st_mtime, UTC)))
    return folders, files
