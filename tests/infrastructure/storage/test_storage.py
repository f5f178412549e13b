"""What every storage of files does."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from infrastructure.errors import NotFound
from services.file_storage import FileStorage

MIB = 1024 * 1024
LARGE = random.Random(7).randbytes(11 * MIB + 3)  # three parts at S3
Leftovers = Callable[[], list[str]]


def new_key() -> str:
    return f"files/{uuid4()}"


async def chunked(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def read(storage: FileStorage, key: str) -> bytes:
    return b"".join([chunk async for chunk in storage.read(key)])


async def keys(storage: FileStorage) -> list[str]:
    found = storage.keys()
    return [key async for key, _ in found]


@pytest.mark.parametrize("data", [b"", b"x", LARGE[: 5 * MIB], LARGE], ids=["empty", "tiny", "one part", "large"])
async def test_bytes_come_back_as_they_were_put(storage: FileStorage, data: bytes) -> None:
    key = new_key()
    await storage.put(key, chunked(data))
    assert await read(storage, key) == data


async def test_bytes_come_in_chunks_of_at_most_256_kib(storage: FileStorage) -> None:
    key = new_key()
    await storage.put(key, chunked(LARGE))
    sizes = [len(chunk) async for chunk in storage.read(key)]
    assert max(sizes) <= 256 * 1024
    assert min(sizes) > 0
    assert len(sizes) < 100  # and not in crumbs


async def test_a_reader_may_leave_early(storage: FileStorage) -> None:
    key = new_key()
    await storage.put(key, chunked(LARGE))
    async with aclosing(storage.read(key)) as chunks:
        assert LARGE.startswith(await anext(chunks))
    await storage.delete(key)
    assert await keys(storage) == []


async def test_there_is_no_such_file_until_it_is_put_and_after_it_is_deleted(storage: FileStorage) -> None:
    key = new_key()
    with pytest.raises(NotFound, match=r"^No such file\.$"):
        await anext(storage.read(key))
    await storage.put(key, chunked(b"here"))
    await storage.delete(key)
    with pytest.raises(NotFound, match=r"^No such file\.$"):
        await anext(storage.read(key))


async def test_deleting_what_is_gone_does_nothing(storage: FileStorage) -> None:
    other = new_key()
    await storage.put(other, chunked(b"stays"))
    key = new_key()
    await storage.put(key, chunked(b"goes"))
    await storage.delete(key)
    await storage.delete(key)
    assert await keys(storage) == [other]


async def test_a_file_is_fetched_in_the_place_of_an_older_one(storage: FileStorage, tmp_path: Path) -> None:
    key, target = new_key(), tmp_path / "fetched"
    target.write_bytes(b"older and longer than the new one")
    await storage.put(key, chunked(b"new"))
    await storage.fetch(key, target)
    assert target.read_bytes() == b"new"
    target.unlink()
    assert await read(storage, key) == b"new"


@pytest.mark.parametrize("data", [b"", LARGE], ids=["empty", "large"])
async def test_fetched_bytes_are_those_that_were_put(storage: FileStorage, data: bytes, tmp_path: Path) -> None:
    key = new_key()
    await storage.put(key, chunked(data))
    await storage.fetch(key, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == data


async def test_fetching_what_is_not_there_makes_no_file(storage: FileStorage, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await storage.fetch(new_key(), tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


async def test_all_keys_are_listed_with_the_time_of_their_last_change(storage: FileStorage) -> None:
    put = {new_key() for _ in range(5)}
    for key in put:
        await storage.put(key, chunked(b"x"))
    found = storage.keys()
    listed = {key: changed async for key, changed in found}
    assert set(listed) == put
    for changed in listed.values():
        assert abs(datetime.now(UTC) - changed) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "key",
    ["", "/", "files/", "/files/x", "files//x", "files/../x", "..", "files/.", "files/x.txt", "files/X", "files/x\n",
     "files\\x", "files/x\0", "files/ü", "~", "a" * 201],
)  # fmt: skip
async def test_what_is_no_key_is_refused_without_a_word_of_it(storage: FileStorage, key: str, tmp_path: Path) -> None:
    for call in (
        storage.put(key, chunked(b"x")),
        anext(storage.read(key)),
        storage.fetch(key, tmp_path / "fetched"),
        storage.delete(key),
    ):
        with pytest.raises(ValueError, match="a storage key has lower-case letters") as raised:
            await call
        assert len(key) < 2 or key not in str(raised.value)
    assert await keys(storage) == []


@pytest.mark.parametrize("sent", [0, 1, MIB + 1, 6 * MIB, 11 * MIB])
async def test_an_error_of_the_chunks_is_passed_on_and_leaves_nothing(
    storage: FileStorage, leftovers: Leftovers, sent: int
) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        async for chunk in chunked(LARGE[:sent]):
            yield chunk
        raise OSError("the caller's own")

    with pytest.raises(OSError, match=r"^the caller's own$"):
        await storage.put(new_key(), breaking())
    assert (await keys(storage), leftovers()) == ([], [])


@pytest.mark.parametrize("sent", [0, 1, MIB + 1, 6 * MIB, 11 * MIB])
async def test_a_cancelled_put_leaves_nothing(storage: FileStorage, leftovers: Leftovers, sent: int) -> None:
    waiting = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        async for chunk in chunked(LARGE[:sent]):
            yield chunk
        waiting.set()
        await asyncio.Event().wait()

    put = asyncio.create_task(storage.put(new_key(), stuck()))
    await waiting.wait()
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put
    assert (await keys(storage), leftovers()) == ([], [])


@pytest.mark.parametrize("size", [1, 11 * MIB])
async def test_a_put_that_is_cancelled_after_its_last_byte_leaves_nothing_or_is_done(
    storage: FileStorage, leftovers: Leftovers, size: int
) -> None:
    given = asyncio.Event()

    async def telling() -> AsyncIterator[bytes]:
        async for chunk in chunked(LARGE[:size]):
            yield chunk
        given.set()

    for turns in range(4):
        given.clear()
        key = new_key()
        put = asyncio.create_task(storage.put(key, telling()))
        await given.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        put.cancel()
        with pytest.raises(asyncio.CancelledError):
            await put
        assert (await keys(storage), leftovers()) == ([], [])


async def test_many_puts_and_reads_go_on_at_once(storage: FileStorage) -> None:
    files = {new_key(): random.Random(n).randbytes(400_000) for n in range(12)}
    await asyncio.gather(*[storage.put(key, chunked(data)) for key, data in files.items()])
    found = await asyncio.gather(*[read(storage, key) for key in files])
    assert found == list(files.values())
