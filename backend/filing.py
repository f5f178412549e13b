"""The uploads' part of the composition root: where their bytes are kept, and what takes them in."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from urllib.parse import urlsplit

from backend.assembly import Knowledge
from backend.settings import Settings
from backend.uploads import MAX_FILES, UploadReader
from infrastructure.storage.local import LocalStorage
from services.file_storage import FileStorage
from services.files import Files

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
