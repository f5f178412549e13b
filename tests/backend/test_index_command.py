"""The command `index`: called here as the command line calls it, and twice as it is typed, in a process of its own."""

import asyncio
import os
import pty
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from backend.index_command import index
from backend.settings import Settings
from infrastructure.database.engine import Database, open_engine
from infrastructure.database.models import Document, File
from infrastructure.lexical.lock import FolderLock
from tests.databases import migrated_url
from tests.services.chat_rows import add_user

ROOT = Path(__file__).parents[2]


class Place:
    """A folder with a knowledge folder and a database."""

    def __init__(self, folder: Path, url: str, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self.url, self._capture = folder, url, capture
        self.write("knowledge/a.md", "# Alpha\n\nAlpha is first.\n")
        self.write("knowledge/sub/b.txt", "Beta is second.\n")

    def write(self, name: str, data: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    async def index(self, path: str | None = None, owner: str | None = None) -> tuple[int, str, str]:
        """Exit status, stdout, stderr."""
        settings = Settings(
            _env_file=None, knowledge_dir=self.folder / "knowledge", data_dir=self.folder / "data",
            cache_dir=self.folder / "cache", database_url_setting=self.url,
        )  # fmt: skip
        self._capture.readouterr()
        status = await index(settings, None if path is None else self.folder / path, owner)
        out, err = self._capture.readouterr()
        return status, "".join(out.splitlines()[-1:]), err  # above it is the log, which is not set up here

    async def documents(self) -> dict[str, tuple[str, str]]:
        """`(status, partition)` by name."""
        database = Database(open_engine(self.url))
        async with database.read() as session:
            rows = await session.execute(select(Document.name, Document.status, Document.partition))
            found = {row[0]: (row[1], row[2]) for row in rows}
        await database.close()
        return found

    async def user(self, name: str = "ada") -> str:
        database = Database(open_engine(self.url))
        user_id = await add_user(database, name)
        await database.close()
        return user_id


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Place:
    return Place(tmp_path, migrated_url("sqlite", request, tmp_path), capsys)


async def typed(place: Place, *arguments: str, stdout: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
    covered = {name: value for name, value in os.environ.items() if name.startswith("COV")}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "backend.cli", "index", *arguments, cwd=place.folder, stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        env={
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATABASE_URL": place.url, "TERM": "xterm", **covered,
        },
    )  # fmt: skip


async def test_the_knowledge_folder_is_taken_in_and_once_is_enough(place: Place) -> None:
    status, out, err = await place.index()
    assert (status, err) == (0, "")
    assert out.startswith("2 files can be found, 0 of them unchanged; 0 failed. 2 chunks in ")
    assert await place.documents() == {"a.md": ("ready", ""), "sub/b.txt": ("ready", "")}
    status, out, _ = await place.index("knowledge")
    assert status == 0
    assert out.startswith("2 files can be found, 2 of them unchanged; 0 failed. 0 chunks in ")


@pytest.mark.parametrize("path", ["knowledge/sub", "knowledge/sub/b.txt"])
async def test_a_part_of_the_folder_is_taken_in_by_itself_and_removes_nothing_else(place: Place, path: str) -> None:
    assert (await place.index(path))[0] == 0
    assert await place.documents() == {"sub/b.txt": ("ready", "")}
    await place.index()
    (place.folder / "knowledge/sub/b.txt").unlink()
    (place.folder / "knowledge/a.md").unlink()
    place.write("knowledge/sub/c.txt", "Gamma is third.\n")
    await place.index("knowledge/sub")
    assert await place.documents() == {"a.md": ("ready", ""), "sub/c.txt": ("ready", "")}


async def test_what_cannot_be_read_is_named_and_fails_the_command_each_time(place: Place) -> None:
    place.write("knowledge/broken.json", "{")
    for _ in range(2):
        status, out, err = await place.index()
        assert status == 1
        assert out.startswith("2 files can be found")
        assert "; 1 failed." in out
        assert err.startswith("askgraph: broken.json: ")
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("elsewhere",), "--owner USERNAME"),
        (("missing",), "there is no such file or folder"),
        ((None, "ada"), "say which file or folder"),
        (("elsewhere", "nobody"), "there is no such user"),
        (("knowledge/picture.png",), "there is nothing in it that is read"),
    ],
)
async def test_what_cannot_be_done_is_said_in_a_line(
    place: Place, arguments: tuple[str | None, ...], said: str
) -> None:
    place.write("elsewhere/a.md", "Alpha.")
    place.write("knowledge/picture.png", b"\x89PNG\r\n\x1a\n")
    status, _, err = await place.index(*arguments)
    assert (status, err.count("\n")) == (1, 1)
    assert said in err
    assert await place.documents() == {}


async def test_a_missing_knowledge_folder_is_said(place: Place) -> None:
    (place.folder / "knowledge").rename(place.folder / "moved")
    assert (await place.index())[::2] == (1, "askgraph: KNOWLEDGE_DIR is no folder\n")


async def test_beside_a_running_service_the_folder_is_left_to_it(place: Place) -> None:
    lock = FolderLock(place.folder / "data/index/owner.lock")
    assert lock.acquire()
    status, out, err = await place.index()
    lock.release()
    assert (status, out) == (0, "")
    assert "takes in its knowledge folder by itself" in err
    assert await place.documents() == {}


async def test_with_an_owner_files_become_that_users(place: Place) -> None:
    owner = await place.user()
    place.write("mine/one.txt", "One is mine.")
    place.write("mine/two/two.md", "# Two\n\nTwo is mine.")
    place.write("mine/three.pdf", b"%PDF-1.7\nnothing else")
    status, out, err = await place.index("mine", "ADA")
    assert status == 1
    assert out.startswith("2 files can be found, 0 of them unchanged; 1 failed. 2 chunks in ")
    assert err.startswith("askgraph: three.pdf: ")
    assert await place.documents() == {"one.txt": ("ready", owner), "two.md": ("ready", owner)}
    status, out, err = await place.index("mine/one.txt", "ada")
    assert (status, err) == (0, "")
    assert out.startswith("1 files can be found, 1 of them unchanged; 0 failed. 0 chunks in ")


async def test_what_is_no_upload_is_named_and_the_others_are_taken_in(place: Place) -> None:
    owner = await place.user()
    place.write("mine/a.txt", "One is mine.")
    place.write("mine/\x1b[31mempty.txt", "")
    status, _, err = await place.index("mine", "ada")
    assert (status, err) == (1, "askgraph: \ufffd[31mempty.txt: The file is empty.\n")
    assert await place.documents() == {"a.txt": ("ready", owner)}


async def test_uploads_beside_a_running_service_are_left_to_it(place: Place) -> None:
    """The service is played by the database alone."""
    await place.user()
    place.write("one.txt", "One is mine.")
    lock = FolderLock(place.folder / "data/index/owner.lock")
    assert lock.acquire()
    indexing = asyncio.create_task(place.index("one.txt", "ada"))
    database = Database(open_engine(place.url))
    waiting = None
    async with asyncio.timeout(30):
        while waiting is None:
            async with database.read() as session:
                waiting = (await session.execute(select(File))).scalar_one_or_none()
    assert waiting.status == "uploaded"
    async with database.write() as session:
        (await session.get_one(File, waiting.id)).status = "ready"
    status, out, err = await asyncio.wait_for(indexing, 30)
    lock.release()
    await database.close()
    assert (status, err) == (0, "")
    assert out.startswith("1 files can be found")


async def test_a_storage_that_cannot_be_used_is_said(place: Place) -> None:
    await place.user()
    place.write("one.txt", "One is mine.")
    place.write("data/uploads", "in the way")
    assert (await place.index("one.txt", "ada"))[::2] == (
        1, "askgraph: The file storage cannot be used at the moment.\n",
    )  # fmt: skip


async def test_as_it_is_typed_the_exit_status_tells_whether_all_is_well(place: Place) -> None:
    place.write("knowledge/broken.json", "{")
    process = await typed(place)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, err.count(b"\n")) == (1, 1)
    assert out.startswith(b"2 files can be found")


async def test_at_a_terminal_a_bar_shows_how_far_it_is(place: Place) -> None:
    ours, theirs = pty.openpty()
    process = await typed(place, "knowledge", stdout=theirs)
    os.close(theirs)
    shown = ""
    while "a second." not in shown:
        shown += (await asyncio.to_thread(os.read, ours, 1024)).decode(errors="replace")
    assert await asyncio.wait_for(process.wait(), 30) == 0
    os.close(ours)
    assert "2/2" in shown
    assert "files · 2 chunks · " in shown
