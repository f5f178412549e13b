"""Uploaded files: bring, list, read and delete them, and have them belong to chats."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from backend.dependencies import Admin, CallerAddress, Parts, Who
from backend.routers.strict_json import StrictJsonRoute
from backend.schemas.ask import error_responses
from backend.schemas.files import (
    UPLOAD_FORM,
    DeletedFile,
    FailedPage,
    FileBody,
    FileChat,
    FilePage,
    FileStatusBody,
    FileTextBody,
    QuotaBody,
    UploadBody,
    failed_page,
    file_body,
    file_page,
    file_status_body,
    file_text_body,
    quota_body,
    upload_body,
)
from services.file_names import content_disposition
from services.files import FileState
from services.knowledge.extract import MEDIA_TYPES

UPLOAD_PATH = "/api/v1/files/upload"
router = APIRouter(
    prefix="/api/v1", tags=["files"], route_class=StrictJsonRoute, responses=error_responses(401, 422, 429)
)
PageNumber = Annotated[int, Query(ge=1, le=1_000_000)]
PageSize = Annotated[int, Query(ge=1, le=100)]
UNKNOWN_TYPE = "application/octet-stream"
SENT_TYPES = frozenset(MEDIA_TYPES.values())
CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The bytes, as an attachment.", "content": {UNKNOWN_TYPE: {}}},
    304: {"description": "They are those that If-None-Match names."},
}


@router.post(
    "/files/upload", status_code=202, openapi_extra=UPLOAD_FORM, responses=error_responses(404, 408, 413, 415, 503)
)
async def upload_files(request: Request, parts: Parts, who: Who, caller: CallerAddress) -> UploadBody:
    """Bring one file or several, of MAX_FILESIZE_MB each. All are kept, or none; they are read in the background.

    Bytes that you brought before are not kept twice: the answer is the file that you have. An anonymous caller's file
    is reached by its id alone: keep it.
    """
    content_type = request.headers.get("content-type", "")
    async with parts.uploads.read(content_type, request.receive, who.user_id or caller) as form:
        files = await parts.files.upload(who.user_id, form.files, form.chat_id)
    return upload_body(files, await parts.files.quota(who.user_id))


@router.get("/files")
async def list_files(parts: Parts, who: Who, page: PageNumber = 1, page_size: PageSize = 20) -> FilePage:
    """Your files, the newest first. For an anonymous caller the list is empty."""
    return file_page(await parts.files.page(who.user_id, page, page_size))


@router.get("/files/quota")
async def get_quota(parts: Parts, who: Who) -> QuotaBody:
    """How much room your files take, and how much they may."""
    return quota_body(await parts.files.quota(who.user_id))


@router.get("/files/failed", dependencies=[Admin], responses=error_responses(403))
async def list_failed(parts: Parts, page: PageNumber = 1, page_size: PageSize = 20) -> FailedPage:
    """Everybody's files that could not be read, for admins: what they are and why, not what they are called."""
    return failed_page(await parts.files.failed(page, page_size))


@router.get("/files/status/{file_id}", responses=error_responses(404))
async def get_status(file_id: UUID, parts: Parts, who: Who) -> FileStatusBody:
    """How far the reading of a file has come."""
    return file_status_body(await parts.files.get(str(file_id), who.user_id))


@router.get("/files/{file_id}", responses=error_responses(404))
async def get_file(file_id: UUID, parts: Parts, who: Who) -> FileBody:
    """One file."""
    return file_body(await parts.files.get(str(file_id), who.user_id))


@router.get("/files/{file_id}/text", response_model_exclude_none=True, responses=error_responses(404, 409))
async def get_text(file_id: UUID, parts: Parts, who: Who) -> FileTextBody:
    """The text that was read of a file: citations count in it. 409 until it is ready."""
    return file_text_body(await parts.files.text(str(file_id), who.user_id))


@router.get("/files/{file_id}/content", response_class=Response, responses=CONTENT | error_responses(404, 503))
async def get_content(file_id: UUID, request: Request, parts: Parts, who: Who) -> Any:
    """Download a file as it was brought."""
    file = await parts.files.get(str(file_id), who.user_id)
    headers = _download_headers(file)
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers={name: headers[name] for name in ("ETag", "Cache-Control")})
    chunks = parts.files.content(file.id)
    return _Download(await anext(chunks, b""), chunks, headers)


@router.delete("/files/{file_id}", responses=error_responses(404, 503))
async def delete_file(file_id: UUID, parts: Parts, who: Who) -> DeletedFile:
    """Delete a file: its bytes, its text, and what searches find of it."""
    await parts.files.delete(str(file_id), who.user_id)
    return DeletedFile(file_id=str(file_id), quota=quota_body(await parts.files.quota(who.user_id)))


@router.post("/files/{file_id}/attach", responses=error_responses(404))
async def attach_file(file_id: UUID, body: FileChat, parts: Parts, who: Who) -> FileBody:
    """Have a file belong to a chat: its questions look there first."""
    return file_body(await parts.files.attach(str(file_id), who.user_id, str(body.chat_id)))


@router.post("/files/{file_id}/detach", responses=error_responses(404))
async def detach_file(file_id: UUID, body: FileChat, parts: Parts, who: Who) -> FileBody:
    """Have a file belong to a chat no more."""
    return file_body(await parts.files.detach(str(file_id), who.user_id, str(body.chat_id)))


@router.post("/files/{file_id}/reprocess", status_code=202, responses=error_responses(404, 409))
async def reprocess_file(file_id: UUID, parts: Parts, who: Who) -> FileBody:
    """Have a file read anew. 409 while it is being read."""
    return file_body(await parts.files.reprocess(str(file_id), who.user_id))


def _download_headers(file: FileState) -> dict[str, str]:
    """A browser saves it and never shows it: what it has in it is not ours."""
    return {
        "Content-Type": file.mime_type if file.mime_type in SENT_TYPES else UNKNOWN_TYPE,
        "Content-Length": str(file.size_bytes),
        "Content-Disposition": content_disposition(file.original_filename),
        "Content-Security-Policy": "sandbox",
        "X-Content-Type-Options": "nosniff",
        "ETag": f'"{file.checksum}"',
        "Cache-Control": "private, no-cache",
    }


class _Download(StreamingResponse):
    """Closes what the bytes come from, however the response ends."""

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None], headers: dict[str, str]) -> None:
        super().__init__(_with_first(first, rest), headers=headers)
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._rest):
            await super().__call__(scope, receive, send)


async def _with_first(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    yield first
    async for chunk in rest:
        yield chunk
