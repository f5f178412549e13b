"""Watching: what changes in the folder is found, whatever becomes of the folder."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.knowledge.watch import watch
from tests.services.knowledge.knowledge_base import open_knowledge_base


class Looks:
    """Counts the calls, and lets a test wait until something is seen."""

    def __init__(self) -> None:
        self.count = 0
        self._called = asyncio.Condition()

    async def __call__(self) -> None:
        self.count += 1
        async with self._called:
            self._called.notify_all()

    async def until(self, seen: Callable[[], bool]) -> None:
        """Wait for a look after which `seen` is true; at most 5 s."""
        async with asyncio.timeout(30), self._called:
            await self._called.wait_for(seen)


@asynccontextmanager
async def cancelled_at_the_end(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def watching(folder: Path, looks: Looks) -> AbstractAsyncContextManager[None]:
    return cancelled_at_the_end(watch(folder, looks, quiet_ms=100))


async def test_a_change_is_told(tmp_path: Path) -> None:
    looks = Looks()
    async with watching(tmp_path, looks):
        await looks.until(lambda: looks.count > 0)
        before = looks.count
        (tmp_path / "a.md").write_text("new")
        await looks.until(lambda: looks.count > before)


async def test_a_folder_that_comes_later_is_watched(tmp_path: Path) -> None:
    folder, looks = tmp_path / "later", Looks()
    async with watching(folder, looks):
        await asyncio.sleep(0)
        folder.mkdir()
        await looks.until(lambda: looks.count > 0)


async def test_a_folder_that_is_replaced_is_watched_on(tmp_path: Path) -> None:
    folder, looks = tmp_path / "folder", Looks()
    folder.mkdir()
    async with watching(folder, looks):
        await looks.until(lambda: looks.count > 0)
        folder.rename(tmp_path / "old")
        (tmp_path / "new").mkdir()
        before = looks.count
        (tmp_path / "new").rename(folder)
        await looks.until(lambda: looks.count > before + 1)
        before = looks.count
        (folder / "a.md").write_text("new")
        await looks.until(lambda: looks.count > before)
        shutil.rmtree(folder)
        before = looks.count
        folder.mkdir()
        (folder / "b.md").write_text("new")
        await looks.until(lambda: looks.count > before)


async def test_without_the_systems_help_the_files_are_polled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from services.knowledge import watch as module

    real = module.awatch
    asked: list[bool | None] = []

    def no_inotify(*args: object, **options: object) -> object:
        asked.append(options["force_polling"])  # type: ignore[arg-type]  # whatever was passed
        if not options["force_polling"]:
            raise OSError("no inotify left")
        return real(*args, **options)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(module, "awatch", no_inotify)
    looks = Looks()
    with capture_logs() as logs:
        async with watching(tmp_path, looks):
            await looks.until(lambda: looks.count > 0)
            before = looks.count
            (tmp_path / "a.md").write_text("new")
            await looks.until(lambda: looks.count > before)
    assert asked == [None, True]
    assert logs[0]["action"] == "polling"


async def test_a_changed_file_is_found_within_five_seconds(tmp_path: Path) -> None:
    async with open_knowledge_base(tmp_path) as kb:
        kb.write("sub/a.md", "old words")
        await kb.indexer.start()
        async with cancelled_at_the_end(kb.indexer.watch()):
            kb.write("sub/a.md", "new words at last")
            kb.write("newer/b.md", "other words")
            await kb.index.until(lambda: kb.index.find("words") == ["newer/b.md", "sub/a.md"])
            assert kb.index.find("old") == []


async def test_a_failed_look_does_not_end_the_watching(tmp_path: Path) -> None:
    async with open_knowledge_base(tmp_path) as kb:
        await kb.indexer.start()
        kb.index.broken = True
        with capture_logs() as logs:
            async with cancelled_at_the_end(kb.indexer.watch()):
                kb.write("a.md", "words")
                await kb.index.until(lambda: kb.index.failures > 0)
                kb.index.broken = False
                kb.write("b.md", "words")
                await kb.index.until(lambda: kb.index.find("words") == ["a.md", "b.md"])
        assert logs[0]["event"] == "knowledge_sync_failed"
