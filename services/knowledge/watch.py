"""Watching a folder: says that something changed, and leaves it to others to find out what."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import structlog
from watchfiles import awatch

_logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

OnChange = Callable[[], Awaitable[object]]

DEBOUNCE_MS = 300
QUIET_MS = 1000  # how often a folder in which nothing happens is looked at: is it still the same folder?
_Identity = tuple[int, int]


async def watch(folder: Path, on_change: OnChange, *, quiet_ms: int = QUIET_MS) -> None:
    """Await `on_change` after each change below `folder`, until cancelled. Changes within 300 ms come together.

    It is awaited once at the beginning too, and again when things have quietened down, for the operating system may
    miss what happens in a folder that was only just made. The folder may be missing, and may be replaced by another.
    Where the system cannot tell of changes (no inotify left), the files are polled.
    """
    polling = False
    while True:
        identity = await asyncio.to_thread(_identity, folder)
        if identity is None:
            await asyncio.sleep(quiet_ms / 1000)
            continue
        try:
            await _watch_one(folder, identity, on_change, quiet_ms, polling)
        except FileNotFoundError:
            continue  # gone between the two looks
        except OSError as error:
            if polling:
                await asyncio.sleep(quiet_ms / 1000)
            _logger.warning("folder_watch_failed", error=type(error).__name__, action="polling")
            polling = True


async def _watch_one(folder: Path, identity: _Identity, on_change: OnChange, quiet_ms: int, polling: bool) -> None:
    """Watch until the folder is another one, or gone."""
    changes = awatch(
        folder,
        watch_filter=None,
        debounce=DEBOUNCE_MS,
        rust_timeout=quiet_ms,
        yield_on_timeout=True,
        force_polling=polling or None,
    )
    unsettled = True
    async with aclosing(changes):
        async for changed in changes:
            if changed or unsettled:
                await on_change()
            unsettled = bool(changed)
            if not changed and await asyncio.to_thread(_identity, folder) != identity:
                await on_change()
                return


def _identity(folder: Path) -> _Identity | None:
    """Which folder it is; None when there is none."""
    try:
        about = folder.stat()
    except OSError:
        return None
    return (about.st_dev, about.st_ino) if folder.is_dir() else None
