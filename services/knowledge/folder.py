"""The knowledge folder: which of its files are documents, and how one is read."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infrastructure.errors import KnowledgeError
from services.knowledge.extract import media_type


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that is a document. `name` is its path below the folder, with forward slashes."""

    name: str
    path: Path
    size: int
    modified_ns: int


class FolderMissing(Exception):
    """The folder is not there (yet, or for now)."""


def scan(folder: Path) -> list[FoundFile]:
    """The documents in a folder, by name. Blocks: call it in a thread.

    Left out: hidden files and folders, types that are not read, what is no regular file, names that are not UTF-8,
    and symbolic links to what is outside of the folder.

    Raises:
        FolderMissing: it is not there, or is no folder.
    """
    root = Path(os.path.realpath(folder))
    if not root.is_dir():
        raise FolderMissing
    return sorted(_walk(root, root, "", set()), key=lambda file: file.name)


def _walk(root: Path, folder: Path, prefix: str, seen: set[tuple[int, int]]) -> Iterator[FoundFile]:
    """`seen` holds the folders on the way here, so that a link to one above is not followed for ever."""
    try:
        here = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: (entry.is_symlink(), entry.name))
    except OSError:  # gone meanwhile, or not ours to read
        return
    if (here.st_dev, here.st_ino) in seen:
        return
    seen.add((here.st_dev, here.st_ino))
    for entry in entries:
        if entry.name.startswith(".") or not _is_utf8(entry.name):
            continue
        path = Path(entry.path)
        if entry.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
            continue
        if entry.is_dir():
            yield from _walk(root, path, f"{prefix}{entry.name}/", seen)
        elif media_type(entry.name) and (found := _file(path, prefix + entry.name)):
            yield found


def _file(path: Path, name: str) -> FoundFile | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return FoundFile(name, path, about.st_size, about.st_mtime_ns) if stat.S_ISREG(about.st_mode) else None


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def read(file: FoundFile, max_bytes: int) -> bytes:
    """The bytes of a file. Blocks: call it in a thread.

    Raises:
        KnowledgeError: it is larger than `max_bytes`, or cannot be read.
        FileNotFoundError: it is gone since the folder was scanned.
    """
    if file.size > max_bytes:
        raise KnowledgeError(f"larger than {max_bytes} bytes")
    try:
        with file.path.open("rb") as opened:
            return opened.read(max_bytes + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KnowledgeError("it cannot be read: no right, or a fault of the disk") from error
