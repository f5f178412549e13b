"""A file on its way to the service, with a bar: bytes that are sent, then chunks that are read."""

import asyncio
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from backend.terminal.failures import Refused
from backend.terminal.fields import Fields, objects_of, text_of, whole_of
from backend.terminal.printable import one_line
from backend.terminal.service import Service

_POLL_SECONDS = 0.3
_SEND_SECONDS = 600.0


class _Counted(BufferedReader):
    """A file that tells how many bytes were read of it."""

    def __init__(self, path: Path, told: Callable[[int], None]) -> None:
        super().__init__(path.open("rb", buffering=0), 64 * 1024)
        self._told = told

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self._told(self.tell())
        return data


async def upload(service: Service, path: Path, chat_id: str, console: Console) -> tuple[str, str]:
    """Send a file, and wait until it can be found. Its id, and how that ended in a few words.

    Raises:
        OSError: it cannot be read here.
        Refused: the service does not take it, or cannot read it.
    """
    await service.headers()
    size = await asyncio.to_thread(lambda: path.stat().st_size)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("sending", total=max(size, 1))
        with _Counted(path, lambda sent: bar.update(task, completed=sent)) as file:
            body = await service.json(
                "POST", "/files/upload", files={"file": (path.name, file)}, data={"chat_id": chat_id},
                timeout=_SEND_SECONDS,
            )  # fmt: skip
        kept = next(iter(objects_of(body, "files")), {})
        file_id = text_of(kept, "file_id")
        bar.reset(task, description="reading", total=None)
        state = await _until_read(service, file_id, lambda done, of: bar.update(task, completed=done, total=of))
    if text_of(state, "status") != "ready":
        reason = one_line(text_of(state, "error_message")) or "it could not be read"
        raise Refused(f"{one_line(path.name)}: {reason}")
    chunks = whole_of(state, "chunks_count")
    return file_id, f"{chunks} chunk{'' if chunks == 1 else 's'}"


async def _until_read(service: Service, file_id: str, told: Callable[[int, int | None], None]) -> Fields:
    while True:
        state: dict[str, Any] = await service.json("GET", f"/files/status/{file_id}")
        if text_of(state, "status") in ("ready", "failed"):
            return state
        told(whole_of(state, "chunks_processed"), whole_of(state, "total_chunks_expected") or None)
        await asyncio.sleep(_POLL_SECONDS)
