"""Where uploads are kept by the settings, how large a form may be, and that what is left over is cleared away."""

import os
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from backend.filing import open_storage, sweep_files, upload_limit
from backend.settings import Settings
from infrastructure.database.engine import Database
from infrastructure.storage.local import LocalStorage
from infrastructure.storage.s3 import S3Storage
from services.file_uploads import storage_key
from tests.backend.file_rooms import FileRooms
from tests.databases import migrated_url

MB = 1024 * 1024


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return migrated_url("sqlite", request, tmp_path)


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


async def test_files_are_kept_in_the_data_folder_unless_a_bucket_is_named(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        local = await open_storage(settings(data_dir=tmp_path), stack)
        assert isinstance(local, LocalStorage)
        assert (tmp_path / "uploads").is_dir()
        keys = {"s3_access_key_id": "key", "s3_secret_access_key": "secret"}
        for url in ("s3://bucket", "s3://bucket/", "s3://my.bucket-1/some/prefix/"):
            place = settings(storage_url=url, s3_endpoint_url="http://127.0.0.1:9", **keys)
            assert isinstance(await open_storage(place, stack), S3Storage)


@pytest.mark.parametrize(
    "wrong",
    [
        {"storage_url": "bucket"}, {"storage_url": "s3://"}, {"storage_url": "http://bucket/x"},
        {"storage_url": "s3://bucket/../x"}, {"storage_url": "s3://user:password@bucket"},
        {"s3_endpoint_url": "minio:9000"}, {"s3_access_key_id": "key"}, {"s3_secret_access_key": "secret"},
        {"max_filesize_mb": 0}, {"user_file_quota_mb": 0},
    ],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(**wrong)


def test_a_form_may_be_as_large_as_its_files_may() -> None:
    assert upload_limit(settings(max_filesize_mb=2, user_file_quota_mb=1024)) == 41 * MB
    assert upload_limit(settings(max_filesize_mb=50, user_file_quota_mb=100)) == 101 * MB


async def test_what_is_left_over_is_cleared_away(database: Database, tmp_path: Path) -> None:
    rooms = FileRooms(database, tmp_path)
    old = (datetime.now(UTC) - timedelta(days=31)).timestamp()
    rooms.setup.clock.now = datetime.fromtimestamp(old, UTC)
    loose = await rooms.setup.brings()
    rooms.setup.clock.now = datetime.now(UTC)
    file = await rooms.setup.brings(data=b"Other.")
    orphan = (await rooms.setup.brings(data=b"Orphan.")).id
    rooms.incoming.mkdir()
    (rooms.incoming / "dead").write_bytes(b"x")
    await rooms.files.delete(orphan, None)
    await rooms.setup.storage.put(storage_key(orphan), _bytes())
    for path in (rooms.incoming / "dead", *(tmp_path / "storage").rglob(orphan)):
        os.utime(path, (old, old))
    with capture_logs() as logs:
        await sweep_files(rooms.files, rooms.uploads, 30.0)
        await sweep_files(rooms.files, rooms.uploads, 30.0)
    assert (await rooms.setup.kept(), rooms.left()) == ({file.id}, [])
    told = {"loose": 1, "orphans": 1, "lost": 0, "halves": 1}
    assert logs == [{"event": "cleaned up files", "log_level": "info", **told}]
    assert loose.id not in await rooms.setup.kept()


async def test_a_storage_that_is_away_ends_no_sweeping(database: Database, tmp_path: Path) -> None:
    rooms = FileRooms(database, tmp_path)
    await rooms.setup.brings()
    (tmp_path / "storage").rename(tmp_path / "away")
    (tmp_path / "storage").write_text("in the way")
    with capture_logs() as logs:
        await sweep_files(rooms.files, rooms.uploads, 30.0)
    assert [line["log_level"] for line in logs] == ["warning", "warning"]


async def _bytes():  # type: ignore[no-untyped-def]  # an async generator of bytes
    yield b"x"
