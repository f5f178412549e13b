"""Files kept by a server that speaks S3."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

import structlog

from infrastructure.errors import NotFound, StorageUnavailable
from infrastructure.storage.keys import NO_SUCH_FILE, batches, check_key, is_key, pieces
from infrastructure.storage.relay import Abandoned, Relay
from infrastructure.storage.threads import in_thread

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store

_logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_PART_BYTES = 5 * 1024 * 1024  # the least that S3 takes for a part that is not the last
_PARTS_AT_ONCE = 2
_BATCH_BYTES = 1024 * 1024
_LONGEST_REQUEST = timedelta(hours=1)  # a download takes as long as its reader; a silent server is found out sooner
_STATUS = re.compile(r"status code: (\d{3})")
_NO_BUCKET = "<Code>NoSuchBucket</Code>"


class S3Storage:
    """Files in a bucket, which must exist.

    A file of up to 5 MiB is one request, a larger one a multipart upload: up to four parts are in memory. An upload
    that is given up is aborted at the server.

    Args:
        prefix: where in the bucket the keys begin; the bucket may have other things as well.
        endpoint: the server's URL; None for Amazon's own in `region`.
        access_key: None to find both keys where Amazon's tools do: environment variables, the role of the machine.
        timeout_seconds: how long the server may be silent; the sending of a part counts.
    """

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str | None = None,
        endpoint: str | None = None,
        region: str = "us-east-1",
        access_key: str | None = None,
        secret_key: str | None = None,
        timeout_seconds: float = 30,
    ) -> None:
        self._store = _open_store(
            bucket, prefix, endpoint, region, (access_key, secret_key), silence=timedelta(seconds=timeout_seconds)
        )
        self._undoing: set[asyncio.Task[None]] = set()

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        check_key(key)
        async with aclosing(batches(chunks, _PART_BYTES)) as parts:
            first = await anext(parts, b"")
            second = await anext(parts, None)
            if second is not None:
                await self._put_parts(key, first, second, parts)
                return
            async with self._uploading(key, first):
                pass

    async def read(self, key: str) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._batches(key)) as found:
            async for batch in found:
                for piece in pieces(batch):
                    yield piece

    async def fetch(self, key: str, target: Path) -> None:
        saving = _Saving(target)
        try:
            async with aclosing(self._batches(key)) as found:
                async for batch in found:
                    await _save(saving, batch)
            await _save(saving, b"")  # a file without bytes is one too
            saving.close()
        except BaseException:
            saving.discard()
            raise

    async def delete(self, key: str) -> None:
        import obstore

        check_key(key)
        with suppress(NotFound), _server_errors("delete"):
            await obstore.delete_async(self._store, key)

    async def keys(self) -> AsyncGenerator[tuple[str, datetime], None]:
        import obstore

        found = aiter(obstore.list(self._store, chunk_size=1000))
        while True:
            with _server_errors("list"):
                batch = await anext(found, None)
            if batch is None:
                return
            for meta in batch:
                if is_key(meta["path"]):
                    yield meta["path"], meta["last_modified"]

    async def aclose(self) -> None:
        """Wait until what was given up is gone from the server."""
        if self._undoing:
            await asyncio.wait(self._undoing)

    async def _put_parts(self, key: str, first: bytes, second: bytes, rest: AsyncIterator[bytes]) -> None:
        relay = Relay()
        async with self._uploading(key, relay) as upload:
            upload.add_done_callback(lambda _: relay.end())
            await relay.give(first)
            await relay.give(second)
            async for part in rest:
                await relay.give(part)
                if upload.done():
                    break
            relay.end()

    @asynccontextmanager
    async def _uploading(self, key: str, body: bytes | Relay) -> AsyncIterator[asyncio.Task[None]]:
        """Send `body` in a task of its own, for a request that is simply dropped may still be carried out, and a
        multipart upload that is dropped stays at the server, unseen and paid for."""
        upload = asyncio.create_task(self._send(key, body))
        try:
            yield upload
            await asyncio.shield(upload)
        except BaseException:
            if isinstance(body, Relay):
                body.end(Abandoned())
            undoing = asyncio.create_task(self._undo(key, upload))
            self._undoing.add(undoing)
            undoing.add_done_callback(self._undoing.discard)
            if not _failed(upload):  # else the server is in trouble: the caller need not wait for it any longer
                await asyncio.shield(undoing)
            raise

    async def _send(self, key: str, body: bytes | Relay) -> None:
        import obstore

        try:
            with _server_errors("put"):
                await obstore.put_async(
                    self._store,
                    key,
                    body,
                    use_multipart=isinstance(body, Relay),
                    chunk_size=_PART_BYTES,
                    max_concurrency=_PARTS_AT_ONCE,
                )
        except NotFound:
            raise _unavailable() from None  # the bucket

    async def _undo(self, key: str, upload: asyncio.Task[None]) -> None:
        """Wait for an upload's end; then there is no such file, unless the server cannot be asked to delete it."""
        await asyncio.wait({upload})
        if upload.cancelled() or isinstance(upload.exception(), Abandoned):
            return
        with suppress(StorageUnavailable):  # an upload without an answer may have arrived
            await self.delete(key)

    async def _batches(self, key: str) -> AsyncGenerator[bytes, None]:
        import obstore

        check_key(key)
        with _server_errors("get"):
            found = await obstore.get_async(self._store, key)
            stream = aiter(found.stream(_BATCH_BYTES))
        while True:
            with _server_errors("get"):
                batch = await anext(stream, None)
            if batch is None:
                return
            yield bytes(batch)


class _Saving:
    """A local file that is made by the first write. `write` blocks."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._file: IO[bytes] | None = None

    def write(self, data: bytes) -> None:
        if self._file is None:
            self._file = self._target.open("wb", buffering=0)
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]

    def close(self) -> None:
        if self._file:
            self._file.close()

    def discard(self) -> None:
        self.close()
        with suppress(OSError):
            self._target.unlink(missing_ok=True)


async def _save(saving: _Saving, data: bytes) -> None:
    try:
        await in_thread(saving.write, data)
    except OSError as error:
        _logger.warning("file_storage_failed", storage="s3", operation="fetch", errno=error.errno)
        raise _unavailable() from None


def _open_store(
    bucket: str, prefix: str | None, endpoint: str | None, region: str, keys: tuple[str | None, str | None], *,
    silence: timedelta,
) -> "S3Store":  # fmt: skip
    from obstore.store import S3Store

    config: S3Config = {"region": region, "disable_bulk_delete": True}  # not all servers know of deleting in bulk
    access_key, secret_key = keys
    if endpoint:
        config["endpoint"] = endpoint
    if access_key and secret_key:
        config |= {"access_key_id": access_key, "secret_access_key": secret_key}
    return S3Store(
        bucket,
        prefix=prefix,
        config=config,
        client_options={
            "allow_http": endpoint is not None and endpoint.startswith("http://"),
            "connect_timeout": min(silence, timedelta(seconds=5)),
            "read_timeout": silence,
            "timeout": _LONGEST_REQUEST,
        },
        retry_config={
            "max_retries": 2,
            "retry_timeout": silence,
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=2),
                "base": 2,
            },
        },
    )


def _failed(upload: asyncio.Task[None]) -> bool:
    return upload.done() and not upload.cancelled() and upload.exception() is not None


def _unavailable() -> StorageUnavailable:
    return StorageUnavailable("The file storage cannot be used at the moment.")


@contextmanager
def _server_errors(operation: str) -> Iterator[None]:
    """Turn obstore's errors, whose texts show URL, key and the server's answer, into ours."""
    from obstore.exceptions import BaseError, NotFoundError

    try:
        yield
    except (BaseError, OSError) as error:
        text = str(error)
        if isinstance(error, FileNotFoundError | NotFoundError) and _NO_BUCKET not in text:
            raise NotFound(NO_SUCH_FILE) from None
        status = _STATUS.search(text)
        _logger.warning(
            "file_storage_failed",
            storage="s3",
            operation=operation,
            error=type(error).__name__,
            status=int(status[1]) if status else None,
        )
        raise _unavailable() from None
