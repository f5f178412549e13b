"""Processes of one host share a data folder, and services put together as a whole share a database."""

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from backend.assembly import Knowledge, open_knowledge
from backend.filing import open_files, open_storage
from backend.indexing import open_indexing
from backend.settings import Settings
from infrastructure.monitoring import Metrics
from services.file_indexing import FileIndexing
from services.files import Files, NewFile
from services.knowledge.scope import Scope
from tests.databases import PostgresServer
from tests.services.chat_rows import add_user

ROOT = Path(__file__).parents[3]


class Service(NamedTuple):
    knowledge: Knowledge
    files: Files
    indexing: FileIndexing

    async def found(self, word: str, scope: Scope) -> list[str]:
        found = await self.knowledge.search.search(word, 8, scope)
        return sorted({one.document for one in found.passages if word in one.text})


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.migrated()


@asynccontextmanager
async def service(url: str, folder: Path, backend: str) -> AsyncIterator[Service]:
    """All that a process has of the knowledge. Several may have one folder."""
    (folder / "knowledge").mkdir(exist_ok=True)
    settings = Settings(
        _env_file=None, knowledge_dir=folder / "knowledge", data_dir=folder / "data", cache_dir=folder / "cache",
        database_url_setting=url, database_pool_size=1, search_backend=backend,
    )  # fmt: skip
    async with AsyncExitStack() as stack:
        knowledge = await open_knowledge(settings, Metrics(""), stack)
        storage = await open_storage(settings, stack)
        indexing = open_indexing(settings, knowledge, storage, stack)
        yield Service(knowledge, open_files(settings, knowledge, storage, indexing.wake), indexing)


@pytest.mark.parametrize("backend", ["embedded", "postgres"])
async def test_an_upload_that_one_indexed_is_found_by_all_when_it_is_ready(
    url: str, tmp_path: Path, backend: str
) -> None:
    async with service(url, tmp_path, backend) as one, service(url, tmp_path, backend) as other:
        for each in (one, other):
            await each.knowledge.indexer.start()
        anna = await add_user(one.knowledge.database, "anna")
        path = tmp_path / "upload"
        path.write_bytes(b"The walrus is called Theodore.")
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        scope = await other.knowledge.scopes.of(anna)
        assert await other.found("walrus", scope) == []
        (file,) = await one.files.upload(anna, [NewFile(path, "walrus.txt", path.stat().st_size, checksum)])
        assert await one.indexing.index_one()
        state = await other.files.get(file.id, anna)
        assert (state.status, state.chunks_count) == ("ready", 1)
        for each in (one, other):
            assert await each.found("walrus", scope) == ["walrus.txt"]
        await other.files.delete(file.id, anna)
        for each in (one, other):
            assert await each.found("walrus", scope) == []


async def test_two_processes_share_a_data_folder(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "knowledge"
    folder.mkdir()
    (folder / "walrus.md").write_text("The walrus is called Theodore.")
    for _ in range(2):  # the second time they find what the first ones left
        begun = [await _begin(url, folder, tmp_path / "index") for _ in range(2)]
        for process in begun:
            assert process.stdout is not None
            lines = [line.decode().split() async for line in _until_found(process.stdout)]
            assert lines[-1] == ["found", "walrus.md"]
        assert sorted(entry.name for entry in os.scandir(tmp_path)) == ["index", "index-2", "knowledge"]
        begun[0].kill()
        for process in begun:
            await process.communicate(b"")


async def _begin(url: str, folder: Path, index: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.services.knowledge.worker_process", url, str(folder), str(index), "walrus",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip


async def _until_found(lines: asyncio.StreamReader) -> AsyncIterator[bytes]:
    async with asyncio.timeout(60):
        async for line in lines:
            yield line
            if line.startswith(b"found"):
                return
