"""The uploads' part of the composition root: where their bytes are kept, and what takes them in."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import structlog
from sqlalchemy.exc import SQLAlchemyError

from backend.assembly import Knowledge
from backend.settings import Settings
from backend.uploads import MAX_FILES, TOTAL_SECONDS, UploadReader
from infrastructure.errors import StorageUnavailable
from infrastructure.storage.local import LocalStorage
from services.file_storage import FileStorage
from services.files import Files

log = structlog.get_logger()
SWEEP_SECONDS = 3600.0  # how often `sweep_files` is worth it: it lists all of the storage
_MB = 1024 * 1024
_FORM_BYTES = 1024 * 1024  # of a form, beside its files


async def open_storage(settings: Settings, stack: AsyncExitStack) -> FileStorage:
    """The storage that STORAGE_URL names (a folder of DATA_DIR where it is unset), closed with `stack`."""
    storage: FileStorage
    if settings.storage_url is None:
        storage = await LocalStorage.open(settings.data_dir / "uploads")
    else:
        storage = _s3(settings, settings.storage_url)
    stack.push_async_callback(storage.aclose)
    return storage


def open_files(
    settings: Settings, knowledge: Knowledge, storage: FileStorage, on_uploaded: Callable[[], None]
) -> Files:
    return Files(
        knowledge.database,
        storage,
        knowledge.search,
        knowledge.reembedding.forget,
        quota_bytes=settings.user_file_quota_mb * _MB,
        clock=lambda: datetime.now(UTC),
        on_uploaded=on_uploaded,
        on_chat_changed=knowledge.scopes.forget,
    )


def open_uploads(settings: Settings) -> UploadReader:
    return UploadReader(settings.data_dir / "incoming", settings.max_filesize_mb * _MB)


def upload_limit(settings: Settings) -> int:
    """Bytes of the largest request that can be of use: as many files as one may have, within the quota."""
    return min(MAX_FILES * settings.max_filesize_mb, settings.user_file_quota_mb) * _MB + _FORM_BYTES


async def sweep_files(files: Files, uploads: UploadReader, ttl_days: float) -> None:
    """Clear away what nobody needs: anonymous files of no chat that are older than `ttl_days`, bytes that no file has,
    and what a process that died left half received. What cannot be done now is tried with the next call."""
    now = datetime.now(UTC)
    try:
        loose = await files.sweeping.loose(now - timedelta(days=ttl_days))
        orphans, lost = await files.sweeping.orphans()
        halves = await uploads.clear(now - timedelta(seconds=TOTAL_SECONDS))
    except (SQLAlchemyError, StorageUnavailable, OSError) as error:
        log.warning("clean-up of files failed, and is tried again later", error=type(error).__name__)
    else:
        if loose or orphans or lost or halves:
            log.info("cleaned up files", loose=loose, orphans=orphans, lost=lost, halves=halves)


def _s3(settings: Settings, url: str) -> FileStorage:
    from infrastructure.storage.s3 import S3Storage

    place, secret = urlsplit(url), settings.s3_secret_access_key
    return S3Storage(
        place.netloc,
        prefix=place.path.strip("/") or None,
        endpoint=settings.s3_endpoint_url,
        region=settings.s3_region,
        access_key=settings.s3_access_key_id,
        secret_key=secret.get_secret_value() if secret else None,
    )
