"""Both kinds of storage, as one fixture."""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from infrastructure.storage.local import LocalStorage
from infrastructure.storage.s3 import S3Storage
from services.file_storage import FileStorage
from tests.infrastructure.storage.s3_server import S3Bucket, S3Server, serving


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    with serving() as server:
        yield server


@pytest.fixture
def bucket(s3_server: S3Server) -> S3Bucket:
    return s3_server.new_bucket()


@pytest.fixture
def s3(bucket: S3Bucket) -> S3Storage:
    return S3Storage(bucket.name, endpoint=bucket.server, access_key="key", secret_key="secret")


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(params=["local", "s3"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FileStorage]:
    made: FileStorage
    made = request.getfixturevalue("s3") if request.param == "s3" else await LocalStorage.open(tmp_path / "uploads")
    yield made
    await made.aclose()


@pytest.fixture
def leftovers(storage: FileStorage, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], list[str]]:
    """What there is in the storage that cannot be seen through it."""
    if isinstance(storage, S3Storage):
        bucket: S3Bucket = request.getfixturevalue("bucket")
        return bucket.open_uploads
    return lambda: [path.name for path in (tmp_path / "uploads" / ".tmp").iterdir()]
