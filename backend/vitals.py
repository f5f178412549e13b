"""Memory, processor, files and disk: what the operating system tells of this process and its machine."""

import asyncio
import os
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

FRESH_SECONDS = 1.0  # a share of the processor's time over less says nothing


@dataclass(frozen=True, slots=True)
class VitalSigns:
    memory_usage_bytes: int
    cpu_usage_percent: float
    threads: int
    open_files: int | None
    cpu_count: int
    load_1m: float | None
    system_memory_total_bytes: int
    system_memory_available_bytes: int
    disk_total_bytes: int | None
    disk_free_bytes: int | None
    python: str = platform.python_version()


class Vitals:
    """Read in a thread, at most once a second. `folder` is on the disk that is told of."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._process = psutil.Process()
        self._process.cpu_percent(None)  # it counts from here
        self._turn = asyncio.Lock()
        self._read_at = clock()
        self._last: VitalSigns | None = None

    async def read(self) -> VitalSigns:
        async with self._turn:
            if self._last is None or self._clock() - self._read_at >= FRESH_SECONDS:
                self._last = await asyncio.to_thread(self._signs)
                self._read_at = self._clock()
            return self._last

    def _signs(self) -> VitalSigns:
        process, memory = self._process, psutil.virtual_memory()
        total, free = _disk(self._folder)
        with process.oneshot():
            return VitalSigns(
                memory_usage_bytes=process.memory_info().rss,
                cpu_usage_percent=round(process.cpu_percent(None), 1),
                threads=process.num_threads(),
                open_files=process.num_fds() if hasattr(process, "num_fds") else None,
                cpu_count=os.cpu_count() or 1,
                load_1m=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
                system_memory_total_bytes=memory.total,
                system_memory_available_bytes=memory.available,
                disk_total_bytes=total,
                disk_free_bytes=free,
            )


def _disk(folder: Path) -> tuple[int | None, int | None]:
    try:
        usage = shutil.disk_usage(folder)
    except OSError:  # the folder is gone, say: everything else is told all the same
        return None, None
    return usage.total, usage.free


def levels() -> dict[str, Callable[[], float]]:
    """Memory in bytes and processor in percent, cheap enough for the event loop; each look counts from the last."""
    process = psutil.Process()
    process.cpu_percent(None)
    return {"memory": lambda: process.memory_info().rss, "cpu": lambda: process.cpu_percent(None)}
