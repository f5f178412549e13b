"""The process that reads uploads: what it gives back, what ends it, and that the next file does not notice."""

import asyncio
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

from infrastructure.errors import KnowledgeError, ReadingInterrupted
from services.knowledge.chunk import chunk
from services.knowledge.extract import extract_file, media_type
from services.knowledge.reading_process import ReadingLimits, ReadingProcess
from services.knowledge.reading_wire import HEADER, Kind, frame
from tests.services.knowledge.readers.made import (
    docx_bytes,
    epub_bytes,
    pdf_bytes,
    pptx_bytes,
    xlsx_bytes,
)
from tests.services.knowledge.readers.test_pdf import raw_pdf

MEBI = 1024**2
SLOW = b"- a\n" * 190_000  # some five seconds of reading
Write = Callable[[str, bytes], Path]


@asynccontextmanager
async def reading(processes: int = 1, **limits: float) -> AsyncIterator[ReadingProcess]:
    process = ReadingProcess(
        ReadingLimits(**limits),  # type: ignore[arg-type]  # whole numbers where they must be
        chunk_size=300,
        chunk_overlap=40,
        processes=processes,
    )
    async with aclosing(process):
        yield process


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return _write


async def read(process: ReadingProcess, path: Path, **more: object) -> str:
    return (await process.read(path, path.name, media_type(path.name) or "", **more)).document.text  # type: ignore[arg-type]


async def reason(process: ReadingProcess, path: Path) -> str:
    with pytest.raises(KnowledgeError) as caught:
        await read(process, path)
    return caught.value.message


def children() -> list[psutil.Process]:
    found = psutil.Process().children(recursive=True)
    return [child for child in found if "services.knowledge.reading_worker" in " ".join(child.cmdline())]


async def begun(process: ReadingProcess, path: Path) -> "asyncio.Task[str]":
    """A task that reads `path`, whose child has begun with it."""
    started = asyncio.Event()
    task = asyncio.create_task(read(process, path, on_progress=lambda stage: started.set()))
    await started.wait()
    return task


async def test_it_reads_what_reading_here_reads(write: Write) -> None:
    files = {
        "a.pdf": pdf_bytes(3),
        "a.docx": docx_bytes(),
        "a.pptx": pptx_bytes(),
        "a.xlsx": xlsx_bytes(),
        "a.epub": epub_bytes(),
        "a.csv": b"name,town\n" + "Zoë,Marlow\n".encode() * 50,
        "a.md": "# Größe 🎈\n\n## S\n\n".encode() + b"A sentence of words. " * 90,
        "faq.json": b'[{"question": "Why?", "answer": "So."}, {"question": "How?", "answer": "Thus."}]',
    }
    async with reading() as process:
        for name, data in files.items():
            path, kind = write(name, data), media_type(name) or ""
            there = await process.read(path, name, kind)
            here = extract_file(path, name, kind, ReadingLimits())
            assert there.chunks == chunk(here, 300, 40)
            assert there.document.text == here.text
            assert (there.document.title, there.document.media_type) == (here.title, here.media_type)
            assert there.document.pages == here.pages
            assert all(piece.text == here.text[piece.start : piece.end] for piece in there.chunks)
        assert len(children()) == 1


async def test_it_tells_how_far_it_is(write: Write) -> None:
    stages: list[str] = []
    async with reading() as process:
        assert not children()  # started with the first file
        await read(process, write("a.txt", b"words"), on_progress=stages.append)
    assert stages == ["reading", "chunking"]
    assert not children()


async def test_a_file_that_cannot_be_read_is_told_and_the_child_goes_on(write: Write) -> None:
    async with reading() as process:
        assert await reason(process, write("a.docx", b"PK\x03\x04")) == "it is damaged"
        (first,) = children()
        assert await reason(process, write("a.txt", b" ")) == "it holds no text"
        assert await reason(process, write("a.txt", b"a\0b")) == "it is not text"
        assert await read(process, write("b.txt", b"words")) == "words"
        assert children() == [first]


async def test_a_file_that_takes_too_long_is_given_up_and_the_next_is_read(write: Write) -> None:
    async with reading(seconds=2.0) as process:
        assert await reason(process, write("slow.md", SLOW)) == "reading it took too long"
        assert not children()
        assert await read(process, write("b.txt", b"words")) == "words"


async def test_a_file_that_needs_too_much_memory_is_given_up_and_the_next_is_read(write: Write) -> None:
    async with reading(memory_bytes=48 * MEBI) as process:
        large = write("large.md", b"- a\n" * 190_000)
        assert await reason(process, large) == "reading it needs too much memory"
        assert await read(process, write("b.txt", b"words")) == "words"


async def test_a_stream_that_unpacks_to_a_gigabyte_ends_for_want_of_memory(write: Write) -> None:
    packer = zlib.compressobj(9)
    bomb = b"".join([*(packer.compress(bytes(MEBI)) for _ in range(400)), packer.flush()])
    data = raw_pdf(b"")
    empty = zlib.compress(b"", 9)
    data = data.replace(b"/Length %d/" % len(empty), b"/Length %d/" % len(bomb)).replace(empty, bomb)
    async with reading(memory_bytes=128 * MEBI) as process:
        assert await reason(process, write("bomb.pdf", data)) in (
            "reading it needs too much memory",
            "it holds no text",  # the library gave the stream up
            "it is damaged",
        )
        assert await read(process, write("b.txt", b"words")) == "words"


async def test_a_text_over_the_limits_is_refused(write: Write) -> None:
    async with reading(text_chars=1000) as process:
        assert await reason(process, write("a.txt", b"x" * 1001)) == "its text is too long"
    async with reading(chunks=3) as process:
        assert await reason(process, write("a.txt", b"a sentence. " * 200)) == "its text is too long"


async def test_a_file_that_is_cancelled_ends_its_child(write: Write) -> None:
    async with reading() as process:
        task = await begun(process, write("slow.md", SLOW))
        (child,) = children()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not child.is_running()
        assert await read(process, write("b.txt", b"words")) == "words"


@pytest.mark.parametrize(
    ("killed_by", "expected"),
    [
        (signal.SIGKILL, None),
        (signal.SIGTERM, None),
        (signal.SIGABRT, "reading it needs too much memory"),
        (signal.SIGSEGV, "it is damaged"),
        (signal.SIGXCPU, "reading it took too long"),
    ],
)
async def test_how_a_child_ends_says_whose_fault_it_was(
    write: Write, killed_by: signal.Signals, expected: str | None
) -> None:
    async with reading() as process:
        task = await begun(process, write("slow.md", SLOW))
        os.kill(children()[0].pid, killed_by)
        with pytest.raises(KnowledgeError if expected else ReadingInterrupted) as caught:
            await task
        assert expected in (None, caught.value.message)
        assert await read(process, write("b.txt", b"words")) == "words"


async def test_a_child_that_died_while_idle_is_replaced(write: Write) -> None:
    path = write("b.txt", b"words")
    async with reading() as process:
        await read(process, path)
        (child,) = children()
        child.kill()
        child.wait()
        assert await read(process, path) == "words"


async def test_closing_ends_what_is_being_read(write: Write) -> None:
    async with reading() as process:
        task = await begun(process, write("slow.md", SLOW))
        await process.aclose()
        with pytest.raises(ReadingInterrupted):
            await task
        assert not children()
        with pytest.raises(ReadingInterrupted):
            await read(process, write("b.txt", b"words"))


async def test_files_take_turns_and_several_children_share_them(write: Write) -> None:
    paths = [write(f"{number}.txt", b"text number %d" % number) for number in range(6)]
    async with reading(processes=2) as process:
        texts = await asyncio.gather(*(read(process, path) for path in paths))
        assert texts == [f"text number {number}" for number in range(6)]
        assert len(children()) == 2


async def test_a_child_rests_after_many_files(write: Write) -> None:
    path = write("a.txt", b"words")
    async with reading() as process:
        await read(process, path)
        (first,) = children()
        for _ in range(50):
            await read(process, path)
        assert children() != [first]


async def test_nothing_secret_of_the_service_is_in_the_childs_environment(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "a" * 40)
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:word@host/db")
    async with reading() as process:
        await read(process, write("a.txt", b"words"))
        (child,) = children()
        environment = child.environ()
        limits = {what: child.rlimit(what) for what in (psutil.RLIMIT_CORE, psutil.RLIMIT_NOFILE, psutil.RLIMIT_FSIZE)}
        assert os.getpgid(child.pid) == os.getsid(child.pid) == child.pid
        assert child.nice() >= 10
    assert not {"SECRET_KEY", "DATABASE_URL", "HOME"} & environment.keys()
    assert limits == {
        psutil.RLIMIT_CORE: (0, 0),
        psutil.RLIMIT_NOFILE: (64, 64),
        psutil.RLIMIT_FSIZE: (16 * MEBI, 16 * MEBI),
    }


async def test_a_file_that_is_gone_is_told(write: Write, tmp_path: Path) -> None:
    async with reading() as process:
        assert await reason(process, tmp_path / "gone.txt") == "it could not be read"


async def test_a_child_that_does_not_come_up_is_no_fault_of_the_file(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    async with reading() as process:
        with pytest.raises(ReadingInterrupted):
            await read(process, write("a.txt", b"words"))


@pytest.mark.parametrize(
    "said",
    [
        frame(Kind.DOCUMENT, b"nonsense") + frame(Kind.END, b'{"rests": false}'),
        frame(Kind.DOCUMENT, b"{}") + frame(Kind.END, b"nonsense"),
        frame(Kind.END, b"[]"),
        frame(Kind.READY, b""),
        HEADER.pack(99, 0),
        HEADER.pack(Kind.TEXT, 2**31),
    ],
)
async def test_a_child_that_talks_nonsense_is_not_believed(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: bytes
) -> None:
    write("said", frame(Kind.READY, b"") + said)
    script = write("python", f"#!/bin/sh\ncat {tmp_path}/said\nexec cat > /dev/null\n".encode())
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))
    async with reading() as process:
        assert await reason(process, write("a.txt", b"words")) == "it is damaged"


async def test_a_child_that_does_not_end_by_itself_is_ended(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer = frame(Kind.DOCUMENT, b'{"title": "T", "media_type": "text/plain", "pages": []}')
    write("said", frame(Kind.READY, b"") + answer + frame(Kind.END, b'{"rests": true}'))
    script = write("python", f"#!/bin/sh\ncat {tmp_path}/said\nexec sleep 600\n".encode())
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))
    monkeypatch.setattr("services.knowledge.reader_child._SECONDS_TO_END", 0.1)
    async with reading() as process:
        assert await read(process, write("a.txt", b"words")) == ""
        assert not [child for child in psutil.Process().children() if "600" in child.cmdline()]


async def test_a_child_that_says_more_than_it_may_is_stopped(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write("said", frame(Kind.READY, b"") + frame(Kind.TEXT, b"x" * 30_000) * 200)
    script = write("python", f"#!/bin/sh\ncat {tmp_path}/said\nexec cat > /dev/null\n".encode())
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))
    async with reading(text_chars=10_000) as process:
        assert await reason(process, write("a.txt", b"words")) == "its text is too long"


@pytest.mark.parametrize(
    "attempt", ["import socket; socket.socket()", "import os; os.fork()", "import subprocess; subprocess.run('ls')"]
)
def test_a_reader_opens_no_socket_and_starts_no_process(attempt: str) -> None:
    script = f"from services.knowledge import reading_worker as w; w._confine(w.ReadingLimits()); {attempt}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert "PermissionError" in done.stderr


async def test_a_child_ends_with_its_parent(write: Write) -> None:
    path = write("slow.md", SLOW)
    script = f"""
import asyncio, os, psutil, signal
from pathlib import Path
from services.knowledge.reading_process import ReadingLimits, ReadingProcess
def die(stage):
    print(psutil.Process().children()[0].pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
async def main():
    process = ReadingProcess(ReadingLimits(), chunk_size=300, chunk_overlap=0)
    await process.read(Path({str(path)!r}), "slow.md", "text/markdown", die)
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=subprocess.PIPE)
    said, _ = await parent.communicate()
    assert parent.returncode == -signal.SIGKILL
    with suppress(psutil.NoSuchProcess):
        child = psutil.Process(int(said))
        await asyncio.to_thread(psutil.wait_procs, [child], 5)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


async def test_the_loop_is_free_while_a_large_file_is_read(write: Write) -> None:
    path = write("large.txt", b"A sentence of some words. " * 160_000)
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.005)
            longest = max(longest, loop.time() - before)

    async with reading() as process:
        heart = asyncio.create_task(beat())
        began = asyncio.get_running_loop().time()
        text = await read(process, path)
        took = asyncio.get_running_loop().time() - began
        heart.cancel()
    assert len(text) == 26 * 160_000
    assert longest < took / 2  # one step that reads or decodes it would be nearly all of it
