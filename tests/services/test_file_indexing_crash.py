"""kill -9 while uploads are indexed, again and again: none is lost, none is half done, and `ready` is always true.

`CRASHES` says how often.
"""

import asyncio
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.models import Chunk, ChunkEmbedding, File
from infrastructure.storage.local import LocalStorage
from services.knowledge.chunk import chunk
from services.knowledge.extract import extract
from tests.databases import migrated_url
from tests.services.file_indexing_parts import CHUNK_CHARS, Setup, text_of

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("CRASHES") or 3)
FILES = 10 + 4 * KILLS
SECONDS_EACH = 15  # of pytest's patience; a kill with what belongs to it takes some two


class Victim:
    """The process that is killed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, url: str, folder: Path) -> "Victim":
        """Returns when its worker runs."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.services.file_indexing_victim", url, str(folder), cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LOG_LEVEL": "ERROR"},
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        victim = cls(process)
        await victim.said(b"begun\n")
        return victim

    async def said(self, word: bytes) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            while line := await self._process.stdout.readline():
                if line == word:
                    return
        raise AssertionError("it ended by itself")

    async def kill(self) -> None:
        self._process.kill()
        await self._process.communicate()


@contextmanager
def random_seed() -> Iterator[random.Random]:
    """Chance that can be had again: a failure says from where."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # noqa: T201  what repeats a failure
    yield random.Random(seed)


async def check(it: Setup, texts: dict[str, str], *, all_ready: bool) -> int:
    """What is ready is whole; how many files are."""
    ready = 0
    for file_id, text in texts.items():
        file = await it.file(file_id)
        assert file is not None
        if file.status != "ready":
            assert not all_ready, (file.status, file.stage, file.attempts, file.error_message)
            continue
        pieces = chunk(extract("notes.txt", text.encode()), CHUNK_CHARS, 0)
        assert await it.document(file_id) == ("ready", text, len(pieces))
        assert file.chunks_count == file.chunks_processed == len(pieces)
        assert await it.chunks(file_id) == [(n, piece.start, piece.end) for n, piece in enumerate(pieces)]
        assert len(await it.embeddings(file_id)) == len(pieces)
        ready += 1
    return ready


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return migrated_url("sqlite", request, tmp_path)


@pytest.mark.timeout(60 + SECONDS_EACH * KILLS)
async def test_killed_at_any_moment_it_ends_with_every_file_whole(url: str, tmp_path: Path) -> None:
    it = Setup(Database(open_engine(url)), await LocalStorage.open(tmp_path / "files"), tmp_path)
    texts = {await it.upload(text := text_of(60 + n, f"word{n}")): text for n in range(FILES)}
    seen = []
    with random_seed() as chance:
        for _ in range(KILLS):
            victim = await Victim.start(url, tmp_path)
            await asyncio.sleep(chance.uniform(0.0, 0.4))  # the moment is what is tried here
            await victim.kill()
            seen.append(await check(it, texts, all_ready=False))
    victim = await Victim.start(url, tmp_path)
    await victim.said(b"done\n")
    await victim.kill()
    assert seen[0] < FILES, "nothing was interrupted"
    assert await check(it, texts, all_ready=True) == FILES
    async with it.database.read() as session:
        attempts = list((await session.execute(select(File.attempts))).scalars())
    print(f"ready after each kill: {seen}; attempts in all: {sum(attempts)}")  # noqa: T201  the figures asked for
    total = sum(len(chunk(extract("notes.txt", text.encode()), CHUNK_CHARS, 0)) for text in texts.values())
    assert await it.count(Chunk) == await it.count(ChunkEmbedding) == total
    assert not any((tmp_path / "temporary").iterdir())
    await it.database.close()
