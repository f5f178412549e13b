"""Files at a server that speaks S3: what happens when it fails."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from infrastructure.errors import NotFound, StorageUnavailable
from infrastructure.storage.s3 import S3Storage
from tests.infrastructure.storage.s3_server import S3Bucket, S3Server, serving
from tests.infrastructure.storage.test_storage import LARGE, MIB, chunked, keys, new_key, read


def failing(url: str) -> S3Storage:
    return S3Storage("the-bucket", endpoint=url, access_key="AKIASECRET", secret_key="hidden", timeout_seconds=0.3)


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield bytes(MIB)
        await asyncio.sleep(0)


async def check_everything_fails(storage: S3Storage, tmp_path: Path, data: bytes = b"x") -> None:
    for call in (
        storage.put("files/a", chunked(data)),
        anext(storage.read("files/a")),
        storage.fetch("files/a", tmp_path / "fetched"),
        storage.delete("files/a"),
        anext(storage.keys()),
    ):
        with capture_logs() as logs, pytest.raises(StorageUnavailable) as raised:
            await call
        assert raised.value.message == "The file storage cannot be used at the moment."
        assert raised.value.__suppress_context__
        assert not any(word in str(logs) for word in ("http", "files/a", "AKIASECRET", "hidden", "the-bucket"))
        assert any(entry["event"] == "file_storage_failed" for entry in logs)
    assert os.listdir(tmp_path) == []
    await storage.aclose()


async def test_a_server_that_is_not_there_is_told(tmp_path: Path, unused_port: int) -> None:
    await check_everything_fails(failing(f"http://127.0.0.1:{unused_port}"), tmp_path)


async def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections and no more
        async with asyncio.timeout(20):
            await check_everything_fails(failing(f"http://127.0.0.1:{silent.getsockname()[1]}"), tmp_path)


async def test_a_missing_bucket_is_no_missing_file(s3_server: S3Server) -> None:
    storage = S3Storage("no-such-bucket", endpoint=s3_server.url, access_key="key", secret_key="secret")
    for call in (storage.put("files/a", chunked(b"x")), anext(storage.read("files/a"))):
        with pytest.raises(StorageUnavailable):
            await call
    await storage.aclose()


async def test_a_put_ends_when_the_server_fails_and_not_with_the_last_byte(unused_port: int) -> None:
    storage = failing(f"http://127.0.0.1:{unused_port}")
    async with asyncio.timeout(20):
        with pytest.raises(StorageUnavailable):
            await storage.put("files/a", endless())
    await storage.aclose()


async def test_a_server_that_dies_in_the_middle_of_a_large_file_ends_the_put() -> None:
    with serving() as server:
        bucket = server.new_bucket()
        storage = S3Storage(bucket.name, endpoint=server.url, access_key="key", secret_key="secret")

        async def surviving() -> AsyncIterator[bytes]:
            async for chunk in endless():
                if server.process.returncode is None and bucket.open_uploads():
                    server.kill()
                yield chunk

        async with asyncio.timeout(20):
            with pytest.raises(StorageUnavailable):
                await storage.put("files/a", surviving())
        assert server.process.returncode is not None
        await storage.aclose()


async def test_a_put_that_is_cancelled_twice_is_cleared_away_before_the_storage_closes(
    s3: S3Storage, bucket: S3Bucket
) -> None:
    waiting = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        async for chunk in chunked(LARGE):
            yield chunk
        waiting.set()
        await asyncio.Event().wait()

    put = asyncio.create_task(s3.put(new_key(), stuck()))
    await waiting.wait()
    put.cancel()
    await asyncio.sleep(0)
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put
    await s3.aclose()
    assert (await keys(s3), bucket.open_uploads()) == ([], [])


async def test_objects_of_others_in_the_bucket_are_not_listed(s3: S3Storage, bucket: S3Bucket) -> None:
    bucket.ask("PUT", "/Backups/2026.tar", b"x")
    key = new_key()
    await s3.put(key, chunked(b"x"))
    assert await keys(s3) == [key]


async def test_keys_may_begin_at_a_place_in_a_bucket_of_others(s3: S3Storage, bucket: S3Bucket) -> None:
    within = S3Storage(bucket.name, prefix="askgraph/a", endpoint=bucket.server, access_key="key", secret_key="secret")
    outer, inner = new_key(), new_key()
    await s3.put(outer, chunked(b"outer"))
    await within.put(inner, chunked(LARGE))
    assert await keys(within) == [inner]
    assert sorted(await keys(s3)) == sorted([outer, f"askgraph/a/{inner}"])
    assert await read(within, inner) == LARGE
    with pytest.raises(NotFound):
        await read(within, outer)
    await within.delete(inner)
    assert await keys(s3) == [outer]


async def test_a_place_that_cannot_be_written_to_is_told(s3: S3Storage, tmp_path: Path) -> None:
    key = new_key()
    await s3.put(key, chunked(b"x"))
    (tmp_path / "folder").mkdir()
    with capture_logs() as logs, pytest.raises(StorageUnavailable):
        await s3.fetch(key, tmp_path / "folder")
    assert str(tmp_path) not in str(logs)
    assert await read(s3, key) == b"x"


def test_the_client_is_imported_only_where_s3_is_used() -> None:
    script = "import sys, infrastructure.storage.s3, infrastructure.storage.local; print('obstore' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "False\n", done.stderr
