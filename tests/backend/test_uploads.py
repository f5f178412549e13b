"""Forms taken apart as they come: whatever the pieces, and whatever is wrong with them, nothing is left behind."""

import asyncio
import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from starlette.types import Message, Receive

from backend import uploads
from backend.uploads import UploadReader
from infrastructure.errors import InvalidInput, PayloadTooLarge, RateLimited, StorageUnavailable, TooSlow

KIND = "multipart/form-data; boundary=b"
MB = 1024 * 1024
END = b"--b--\r\n"
CHAT = str(uuid4())


def part(data: bytes, name: str = "file", filename: str | None = "a.txt", *more: str) -> bytes:
    """One part of a form."""
    named = f'; filename="{filename}"' if filename is not None else ""
    lines = [f'Content-Disposition: form-data; name="{name}"{named}', *more]
    return b"--b\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + data + b"\r\n"


def sending(*chunks: bytes, then: Message | None = None) -> Receive:
    """What a server tells of a body that comes in these chunks; `then` in the place of its end."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append(then or {"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Message:
        return messages.pop(0)

    return receive


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "incoming"


@pytest.fixture
def reader(folder: Path) -> UploadReader:
    return UploadReader(folder, MB)


Form = tuple[list[tuple[str, bytes]], str | None]


async def form_of(reader: UploadReader, *chunks: bytes, kind: str = KIND) -> Form:
    """Names and bytes of the files, and the chat."""
    async with reader.read(kind, sending(*chunks), "caller") as form:
        for file in form.files:
            data = file.path.read_bytes()
            assert (file.size_bytes, file.checksum) == (len(data), hashlib.sha256(data).hexdigest())
            assert file.path.stat().st_mode & 0o077 == 0
        return [(file.name, file.path.read_bytes()) for file in form.files], form.chat_id


def within(folder: Path) -> set[Path]:
    return set(folder.iterdir()) if folder.exists() else set()


def nothing_left(folder: Path) -> bool:
    return not within(folder)


BODY = b"".join(
    (
        part(b"One.\r\n--bb is not the end\r\n", "file", "one.txt", "Content-Type: text/plain"),
        part(CHAT.encode(), "chat_id", None),
        part(b"\r\n", "file", "two.txt"),
        part(b"other", "other", "other.txt"),
        part(b"other", "title", None),
        END,
    )
)
FORM: Form = ([("one.txt", b"One.\r\n--bb is not the end\r\n"), ("two.txt", b"\r\n")], CHAT)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
async def test_a_form_is_the_same_in_whatever_pieces_it_comes(size: int, reader: UploadReader, folder: Path) -> None:
    chunks = [BODY[at : at + size] for at in range(0, len(BODY), size)]
    assert await form_of(reader, *chunks) == FORM
    assert nothing_left(folder)


async def test_files_of_any_size_up_to_the_limit_come_whole(reader: UploadReader) -> None:
    data = os.urandom(MB)
    body = part(data) + part(data[:1]) + END
    files, _ = await form_of(reader, *(body[at : at + 65_536] for at in range(0, len(body), 65_536)))
    assert [data for _, data in files] == [data, data[:1]]


NAMES = {
    "../../etc/passwd": "../../etc/passwd", "C:\\Users\\ada\\a.txt": "a.txt", "\u202etxt.exe": "\u202etxt.exe",
    "a\0b.txt": "a\0b.txt", "a;b.txt": "a;b.txt", 'a\\"b.txt': 'a"b.txt', "n" * 300: "n" * 300, "": "",
    "r\u00e9sum\u00e9 \U0001f600.txt": "r\u00e9sum\u00e9 \U0001f600.txt",
}  # fmt: skip


@pytest.mark.parametrize("sent", NAMES, ids=ascii)
async def test_a_name_is_handed_on_and_never_a_path(sent: str, reader: UploadReader, folder: Path) -> None:
    async with reader.read(KIND, sending(part(b"x", "file", sent), END), "caller") as form:
        assert form.files[0].name == NAMES[sent]
        assert {form.files[0].path} == within(folder)
        assert len(form.files[0].path.name) == 32


async def test_a_name_that_is_not_utf_8_is_taken_byte_for_byte(reader: UploadReader) -> None:
    body = part(b"x").replace(b"a.txt", b"r\xe9sum\xe9.txt")
    assert (await form_of(reader, body, END))[0] == [("r\u00e9sum\u00e9.txt", b"x")]


@pytest.mark.parametrize("value", [b"", b"  "])
async def test_a_chat_field_left_empty_is_none(value: bytes, reader: UploadReader) -> None:
    assert await form_of(reader, part(value, "chat_id", None), part(b"x"), END) == ([("a.txt", b"x")], None)


async def test_a_file_field_left_empty_is_none(reader: UploadReader) -> None:
    """A browser sends one without a name."""
    assert await form_of(reader, part(b"", "file", ""), part(b"x"), END) == ([("a.txt", b"x")], None)


TWENTY = [part(b"x")] * 20
BAD: dict[str, tuple[Sequence[bytes], type[Exception], str]] = {
    "nothing": ((), InvalidInput, "not a v"),
    "no parts": ((END,), InvalidInput, "needs a file"),
    "JSON": ((b'{"file": 1}',), InvalidInput, "not a v"),
    "another boundary": ((part(b"x").replace(b"--b", b"--c"), b"--c--"), InvalidInput, "not a v"),
    "no end": ((part(b"x"),), InvalidInput, "not a v"),
    "half an end": ((part(b"x"), b"--b-"), InvalidInput, "not a v"),
    "no file": ((part(CHAT.encode(), "chat_id", None), END), InvalidInput, "needs a file"),
    "a file that is text": ((part(b"x", "file", None), END), InvalidInput, "needs a file"),
    "files of other names": ((part(b"x", "files"), part(b"x", "FILE"), END), InvalidInput, "needs a file"),
    "an empty file": ((part(b"x"), part(b""), END), InvalidInput, "is empty"),
    "a file left empty": ((part(b"", "file", ""), END), InvalidInput, "needs a file"),
    "no disposition": ((b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n", END), InvalidInput, "not a v"),
    "no headers": ((b"--b\r\n\r\nx\r\n", END), InvalidInput, "not a v"),
    "an attachment": ((part(b"x").replace(b"form-data", b"attachment"), END), InvalidInput, "not a v"),
    "no name": ((b'--b\r\nContent-Disposition: form-data; filename="a"\r\n\r\nx\r\n', END), InvalidInput, "not a v"),
    "a bad header": ((b"--b\r\nContent Disposition: x\r\n\r\nx\r\n", END), InvalidInput, "not a v"),
    "a long header": ((part(b"x", "file", "a" * 5000), END), InvalidInput, "not a v"),
    "many headers": ((part(b"x", "file", "a", *(f"X-{n}: a" for n in range(9))), END), InvalidInput, "not a v"),
    "a header without end": ((b"--b\r\nX: ", *[b"a" * 1000] * 10), InvalidInput, "not a v"),
    "21 files": ((*TWENTY, part(b"x"), END), InvalidInput, "20 files"),
    "101 fields": ((part(b"x"), *[part(b"x", "other", None)] * 100, END), InvalidInput, "100 fields"),
    "a chat that is none": ((part(b"x", "chat_id", None), part(b"x"), END), InvalidInput, "be a UUID"),
    "a chat with NUL": ((part(CHAT.encode() + b"\0", "chat_id", None), part(b"x"), END), InvalidInput, "be a UUID"),
    "a long chat": ((part(b"x" * 101, "chat_id", None),), InvalidInput, "be a UUID"),
    "a large file": ((part(b"x"), part(bytes(MB + 1)), END), PayloadTooLarge, "larger than 1 MB"),
    "a large file in pieces": ((part(b"")[:-2], *[bytes(100_000)] * 11), PayloadTooLarge, "larger than 1 MB"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
async def test_a_form_that_cannot_be_used_is_refused_and_leaves_nothing(
    name: str, reader: UploadReader, folder: Path
) -> None:
    chunks, error, told = BAD[name]
    with pytest.raises(error, match=told):
        await form_of(reader, *chunks)
    assert nothing_left(folder)


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/json", "multipart/form-data", "multipart/mixed; boundary=b", "multipart/form-data; "
     'boundary=""', "application/x-www-form-urlencoded", f"multipart/form-data; boundary={'b' * 257}", "\xff", ";;;="],
)  # fmt: skip
async def test_a_body_of_another_kind_is_not_read(kind: str, reader: UploadReader) -> None:
    async def receive() -> Message:
        raise AssertionError("it was read")

    with pytest.raises(InvalidInput):
        async with reader.read(kind, receive, "caller"):
            pass


@pytest.mark.parametrize("sent", [b"", part(b"x"), part(b"x" * 2 * MB)[: MB - 100], BODY], ids=len)
async def test_a_client_that_goes_away_leaves_nothing(sent: bytes, reader: UploadReader, folder: Path) -> None:
    receive = sending(sent, then={"type": "http.disconnect"})
    with pytest.raises(InvalidInput):
        async with reader.read(KIND, receive, "caller"):
            pass
    assert nothing_left(folder)


async def test_a_body_that_stalls_is_given_up(folder: Path) -> None:
    reader = UploadReader(folder, MB, stall_seconds=0.05)
    first = sending(part(b"x"))

    async def receive() -> Message:
        if (message := await first())["body"]:
            return message
        return await asyncio.Future()

    with pytest.raises(TooSlow):
        async with reader.read(KIND, receive, "caller"):
            pass
    assert nothing_left(folder)


async def test_a_body_that_only_drips_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "TOTAL_SECONDS", 0.1)

    async def receive() -> Message:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"\r\n", "more_body": True}

    with pytest.raises(TooSlow):
        async with UploadReader(folder, MB).read(KIND, receive, "caller"):
            pass


async def test_what_goes_wrong_later_leaves_nothing_either(reader: UploadReader, folder: Path) -> None:
    async def fail() -> None:
        async with reader.read(KIND, sending(BODY), "caller"):
            assert len(within(folder)) == 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert nothing_left(folder)


async def test_a_task_that_is_cancelled_leaves_nothing(reader: UploadReader, folder: Path) -> None:
    there = asyncio.Event()

    async def hold() -> None:
        async with reader.read(KIND, sending(BODY), "caller"):
            there.set()
            await asyncio.Future()

    task = asyncio.create_task(hold())
    await there.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert nothing_left(folder)


async def test_a_disk_that_does_not_take_it_is_said_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "incoming").write_text("in the way")
    with pytest.raises(StorageUnavailable) as caught:
        await form_of(UploadReader(tmp_path / "incoming", MB), part(b"x"), END)
    assert str(tmp_path) not in str(caught.value)


async def test_only_so_many_are_read_at_once(reader: UploadReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "AT_ONCE_OF_ONE", 1)
    monkeypatch.setattr(uploads, "AT_ONCE", 2)
    async with reader.read(KIND, sending(BODY), "ada"):
        with pytest.raises(RateLimited):
            async with reader.read(KIND, sending(BODY), "ada"):
                pass
        async with reader.read(KIND, sending(BODY), "bob"):
            with pytest.raises(RateLimited):
                async with reader.read(KIND, sending(BODY), "eve"):
                    pass
    assert await form_of(reader, BODY) == FORM


async def test_what_a_dead_process_left_is_cleared_away(reader: UploadReader, folder: Path) -> None:
    now = datetime.now(UTC)
    assert await reader.clear(now) == 0
    async with reader.read(KIND, sending(BODY), "caller") as form:
        dead = folder / "dead"
        dead.write_bytes(b"x")
        os.utime(dead, ((now - timedelta(hours=2)).timestamp(),) * 2)
        assert await reader.clear(now - timedelta(hours=1)) == 1
        assert {file.path for file in form.files} == within(folder)
