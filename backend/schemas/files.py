"""Bodies of the file routes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.files import FileState, FileText, Page, Quota

Status = Literal["uploaded", "processing", "ready", "failed"]
_ID = "0199f3a0-7c3e-7d63-9a53-0f2f0c8f5a11"
UPLOAD_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "maxItems": 20,
                            "description": "One file or several, each in a field of this name.",
                        },
                        "chat_id": {"type": "string", "format": "uuid", "description": "The chat they belong to."},
                    },
                }
            }
        },
    }
}
"""What /openapi.json says of the upload: its body is read by hand."""


class QuotaBody(BaseModel):
    """Bytes of all your files, and how many there may be. Anonymous callers have one quota together."""

    quota_used_bytes: int
    quota_limit_bytes: int


class FileBody(BaseModel):
    """An uploaded file. `chat_ids` are the chats that it belongs to, of those that you can reach."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "file_id": _ID, "original_filename": "report.pdf", "mime_type": "application/pdf",
                    "size_bytes": 183402, "checksum": "9f86d081884c7d65" * 4,
                    "status": "ready", "created_at": "2026-01-05T09:30:00Z", "chat_ids": [], "chunks_count": 42,
                }
            ]
        }
    )  # fmt: skip

    file_id: str
    original_filename: str
    mime_type: str
    size_bytes: int
    checksum: str = Field(description="SHA-256 of the bytes, hexadecimal.")
    status: Status
    created_at: datetime
    chat_ids: list[str]
    chunks_count: int


class UploadBody(BaseModel):
    """What was kept: one entry in `files` for each that was sent, in order. `file` is the first of them."""

    file: FileBody
    files: list[FileBody]
    quota: QuotaBody


class FilePage(BaseModel):
    items: list[FileBody]
    total: int
    page: int
    page_size: int
    pages: int


class FilePlace(BaseModel):
    """The text `[start, end)` is what stands on this page."""

    page: int
    start: int
    end: int


class FileTextBody(BaseModel):
    """The text that citations count in, by code points. `pages` are there where the file has pages."""

    file_id: str
    text: str
    pages: list[FilePlace] | None = None


class FileStatusBody(BaseModel):
    """How far the reading of a file has come. `total_chunks_expected` is known once it has been read."""

    file_id: str
    status: Status
    stage: str | None
    chunks_processed: int
    chunks_count: int
    total_chunks_expected: int | None
    error_message: str | None
    started_at: datetime | None
    finished_at: datetime | None


class FailedFile(BaseModel):
    """A file that could not be read, without its name."""

    file_id: str
    owner_id: str | None
    mime_type: str
    size_bytes: int
    error_message: str | None
    attempts: int
    finished_at: datetime | None


class FailedPage(BaseModel):
    items: list[FailedFile]
    total: int
    page: int
    page_size: int
    pages: int


class DeletedFile(BaseModel):
    status: Literal["deleted"] = "deleted"
    file_id: str
    quota: QuotaBody


class FileChat(BaseModel):
    """The chat that a file is to belong to, or no more."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"chat_id": _ID}]})

    chat_id: UUID


def quota_body(quota: Quota) -> QuotaBody:
    return QuotaBody(quota_used_bytes=quota.used_bytes, quota_limit_bytes=quota.limit_bytes)


def file_body(file: FileState) -> FileBody:
    return FileBody(**_fields(file, FileBody))


def upload_body(files: Sequence[FileState], quota: Quota) -> UploadBody:
    bodies = [file_body(file) for file in files]
    return UploadBody(file=bodies[0], files=bodies, quota=quota_body(quota))


def file_page(page: Page[FileState]) -> FilePage:
    items = [file_body(file) for file in page.items]
    return FilePage(items=items, total=page.total, page=page.page, page_size=page.page_size, pages=page.pages)


def failed_page(page: Page[FileState]) -> FailedPage:
    items = [FailedFile(**_fields(file, FailedFile)) for file in page.items]
    return FailedPage(items=items, total=page.total, page=page.page, page_size=page.page_size, pages=page.pages)


def file_text_body(text: FileText) -> FileTextBody:
    pages = None
    if text.pages is not None:
        pages = [FilePlace(page=page, start=start, end=end) for page, start, end in text.pages]
    return FileTextBody(file_id=text.file_id, text=text.text, pages=pages)


def file_status_body(file: FileState) -> FileStatusBody:
    return FileStatusBody(**_fields(file, FileStatusBody))


def _fields(file: FileState, body: type[BaseModel]) -> dict[str, Any]:
    """What of a file clients see."""
    return {"file_id": file.id} | {name: getattr(file, name) for name in body.model_fields if name != "file_id"}
