"""The key that access tokens are signed with: the setting, else one that is made once and kept."""

import os
import secrets
from pathlib import Path

import structlog

from backend.settings import Settings

log = structlog.get_logger()
FILE_NAME = "secret_key"
MIN_CHARS = 32


class BadSecretKey(Exception):
    """The kept key cannot be used; the message names the file."""


def load_secret_key(settings: Settings, *, warn: bool = True) -> str:
    """SECRET_KEY, else the key in `DATA_DIR/secret_key`, which is made when missing. Reads and writes a small file.

    Raises:
        BadSecretKey: the file has no 32 characters of text.
        OSError: the file can be neither read nor made.
    """
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value()
    path = settings.data_dir / FILE_NAME
    if not path.exists():
        _make(path)
    if settings.production and warn:
        log.warning("SECRET_KEY is not set: a key was made, and is kept in the data folder", file=FILE_NAME)
    return _read(path)


def _read(path: Path) -> str:
    try:
        key = path.read_text("utf-8").strip()
    except UnicodeDecodeError:
        key = ""
    if len(key) < MIN_CHARS:
        raise BadSecretKey(f"{path} must hold {MIN_CHARS} characters or more; delete it to have one made")
    return key


def _make(path: Path) -> None:
    """Put a new key there, whole or not at all. Where another process was first, its key stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{FILE_NAME}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(48) + "\n")  # 64 characters: enough for each of the three algorithms
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)  # unlike a renaming, it never replaces a key that is there
    except FileExistsError:
        pass
    finally:
        draft.unlink()
