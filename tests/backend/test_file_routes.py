"""The routes of files: shapes, what is refused, and what a download carries.

On SQLite alone: what the databases have a say in is in tests/services.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from tests.backend.file_rooms import FILES, FORM_LIMIT, MB, FileRooms, uploaded
from tests.backend.serving import serving
from tests.databases import migrated_url
from tests.e2e.raw import connected, exchange, head
from tests.services.chat_rows import add_chat, add_user
from tests.services.file_parts import TEXT

FILE_FIELDS = {
    "file_id", "original_filename", "mime_type", "size_bytes", "checksum", "status", "created_at", "chat_ids",
    "chunks_count",
}  # fmt: skip
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
BEGIN = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
END = b"\r\n--b--\r\n"


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return migrated_url("sqlite", request, tmp_path)


@pytest.fixture
def rooms(database: Database, tmp_path: Path) -> FileRooms:
    return FileRooms(database, tmp_path)


@pytest_asyncio.fixture
async def client(rooms: FileRooms) -> AsyncIterator[httpx.AsyncClient]:
    """An anonymous client."""
    async with rooms.client() as client:
        yield client


def refused(response: httpx.Response, status: int, kind: str, detail: str = "") -> None:
    body = response.json()
    assert (response.status_code, body["type"], body["code"]) == (status, kind, status), body
    assert detail in body["detail"]


async def test_an_upload_has_the_contracts_shape(rooms: FileRooms, database: Database) -> None:
    ada = await add_user(database)
    chat = (await add_chat(database, ada)).id
    async with rooms.client(ada) as client:
        some = [("file", ("b.md", b"# B")), ("file", ("a.txt", b"A")), ("other", ("c.txt", b"C"))]
        response = await client.post(f"{FILES}/upload", files=some, data={"chat_id": chat, "more": "x"})
        assert response.status_code == 202
        body = response.json()
        assert set(body) == {"file", "files", "quota"}
        assert body["file"] == body["files"][0]
        assert body["quota"] == {"quota_used_bytes": 4, "quota_limit_bytes": 2 * MB}
        for file, (name, data) in zip(body["files"], (("b.md", b"# B"), ("a.txt", b"A")), strict=True):
            assert set(file) == FILE_FIELDS
            assert (file["original_filename"], file["size_bytes"]) == (name, len(data))
            assert (file["status"], file["chat_ids"], file["chunks_count"]) == ("uploaded", [chat], 0)
            assert file["checksum"] == hashlib.sha256(data).hexdigest()
            assert file["created_at"].endswith("Z")
            assert (await client.get(f"{FILES}/{file['file_id']}")).json() == file
    assert rooms.left() == []


async def test_a_user_has_a_list_and_an_anonymous_caller_has_none(rooms: FileRooms, database: Database) -> None:
    async with rooms.client(await add_user(database)) as client:
        files = []
        for n in range(3):
            rooms.setup.clock.pass_by(seconds=1)
            files.append(await uploaded(client, b"File %d." % n))
        page = (await client.get(FILES, params={"page": 1, "page_size": 2})).json()
        assert page == {"items": [files[2], files[1]], "total": 3, "page": 1, "page_size": 2, "pages": 2}
    async with rooms.client() as client:
        await uploaded(client)
        assert (await client.get(FILES)).json() == {"items": [], "total": 0, "page": 1, "page_size": 20, "pages": 0}


NAMES = {
    "../../etc/passwd": "passwd", "/etc/passwd": "passwd", "C:\\Users\\ada\\notes.txt": "notes.txt",
    "..": "file", "": "file", "\u202etxt.exe": "txt.exe", "<b>.txt": "<b>.txt",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=ascii)
async def test_a_name_is_kept_as_a_name(name: str, rooms: FileRooms, client: httpx.AsyncClient) -> None:
    body = BEGIN.replace(b"a.txt", name.encode().replace(b'"', b'\\"')) + b"Some text." + END
    response = await client.post(f"{FILES}/upload", content=body, headers=FORM)
    assert response.status_code == 202, response.text
    assert response.json()["file"]["original_filename"] == NAMES[name]
    assert await rooms.setup.kept() == {response.json()["file"]["file_id"]}
    assert not (rooms.setup.folder / "etc").exists()


@pytest.mark.parametrize("name", ["a\0b.txt", "a\rb.txt", "a\r\nX-Evil: yes\r\n.txt", "n" * 300 + ".txt", "a\nb.txt"])
async def test_an_odd_name_does_no_harm(name: str, client: httpx.AsyncClient) -> None:
    body = BEGIN.replace(b"a.txt", name.encode()) + b"Some text." + END
    response = await client.post(f"{FILES}/upload", content=body, headers=FORM)
    if response.status_code == 422:  # a line's end ends the header: that is no form
        return
    assert response.status_code == 202, response.text
    file = response.json()["file"]
    assert 0 < len(file["original_filename"]) <= 255
    assert file["original_filename"].isprintable()
    content = await client.get(f"{FILES}/{file['file_id']}/content")
    assert content.status_code == 200
    assert "x-evil" not in content.headers


@pytest.mark.parametrize(
    ("name", "data", "status", "kind"),
    [
        ("a.txt", b"", 422, "validation_error"),
        ("a.txt", bytes(MB + 1), 413, "payload_too_large"),
        ("a.pdf", b"\x89PNG\r\n\x1a\n" + bytes(50), 415, "unsupported_media_type"),
        ("a.txt", b"MZ\x90\0" + bytes(100), 415, "unsupported_media_type"),
        ("a.exe", bytes(100), 415, "unsupported_media_type"),
    ],
)
async def test_what_is_not_read_is_refused(
    name: str, data: bytes, status: int, kind: str, client: httpx.AsyncClient, rooms: FileRooms
) -> None:
    some = [("file", ("good.txt", b"Some text.")), ("file", (name, data))]
    refused(await client.post(f"{FILES}/upload", files=some), status, kind)
    assert (await rooms.setup.kept(), rooms.left()) == (set(), [])


async def test_over_the_quota_is_too_large(rooms: FileRooms, database: Database) -> None:
    async with rooms.client(await add_user(database)) as client:
        for n in range(2):
            await uploaded(client, bytes([65 + n]) * MB)
        response = await client.post(f"{FILES}/upload", files={"file": ("a.txt", b"more")})
        refused(response, 413, "payload_too_large", "file quota of 2 MB")
        assert (await client.get(f"{FILES}/quota")).json() == {
            "quota_used_bytes": 2 * MB, "quota_limit_bytes": 2 * MB,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"", {}),
        (b"{}", {"Content-Type": "application/json"}),
        (b"file=x", {"Content-Type": "application/x-www-form-urlencoded"}),
        (BEGIN + b"x" + END, {"Content-Type": "multipart/form-data"}),
        (BEGIN + b"x", FORM),
        (b"x", FORM),
        (b"--b--\r\n", FORM),
        (BEGIN.replace(b"; filename", b"; x") + b"x" + END, FORM),
        (b'--b\r\nContent-Disposition: form-data; name="chat_id"\r\n\r\nx\r\n' + BEGIN + b"x" + END, FORM),
    ],
)
async def test_what_is_no_upload_is_a_validation_error(
    content: bytes, headers: dict[str, str], client: httpx.AsyncClient
) -> None:
    response = await client.post(f"{FILES}/upload", content=content, headers=headers)
    refused(response, 422, "validation_error")
    assert response.json()["errors"]


async def test_an_unknown_chat_is_none(client: httpx.AsyncClient, rooms: FileRooms) -> None:
    data = {"chat_id": str(uuid4())}
    response = await client.post(f"{FILES}/upload", files={"file": ("a.txt", b"x")}, data=data)
    refused(response, 404, "not_found", "No such chat.")
    assert await rooms.setup.kept() == set()


async def test_a_download_is_an_attachment_that_no_browser_shows(client: httpx.AsyncClient) -> None:
    data = b"<html><script>alert(1)</script></html>"
    file = await uploaded(client, data, 'r\u00e9sum\u00e9"; evil="<script>.html')
    url = f"{FILES}/{file['file_id']}/content"
    response = await client.get(url)
    assert (response.status_code, response.content) == (200, data)
    headers = response.headers
    assert headers["content-disposition"].startswith("attachment; filename=")
    assert "\u00e9" not in headers["content-disposition"]
    assert headers["content-security-policy"] == "sandbox"
    assert headers["x-content-type-options"] == "nosniff"
    assert (headers["content-type"], headers["content-length"]) == ("text/html", str(len(data)))
    assert headers["etag"] == f'"{file["checksum"]}"'
    again = await client.get(url, headers={"If-None-Match": headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_a_type_that_is_not_in_our_table_is_told_as_bytes(client: httpx.AsyncClient, rooms: FileRooms) -> None:
    file = await uploaded(client)
    await rooms.setup.set(file["file_id"], mime_type="image/svg+xml")
    response = await client.get(f"{FILES}/{file['file_id']}/content")
    assert response.headers["content-type"] == "application/octet-stream"


async def test_bytes_that_are_lost_are_not_found(client: httpx.AsyncClient, rooms: FileRooms) -> None:
    file = await uploaded(client)
    await rooms.setup.storage.delete(f"files/{file['file_id']}")
    refused(await client.get(f"{FILES}/{file['file_id']}/content"), 404, "not_found", "No such file.")


async def test_a_large_file_comes_back_as_it_went(client: httpx.AsyncClient) -> None:
    data = b"A line of text.\n" * (MB // 16)
    file = await uploaded(client, data)
    assert (await client.get(f"{FILES}/{file['file_id']}/content")).content == data


async def test_text_and_status_follow_the_reading(client: httpx.AsyncClient, rooms: FileRooms) -> None:
    file_id = (await uploaded(client))["file_id"]
    status = (await client.get(f"{FILES}/status/{file_id}")).json()
    assert status == {
        "file_id": file_id, "status": "uploaded", "stage": None, "chunks_processed": 0, "chunks_count": 0,
        "total_chunks_expected": None, "error_message": None, "started_at": None, "finished_at": None,
    }  # fmt: skip
    refused(await client.get(f"{FILES}/{file_id}/text"), 409, "conflict", "not been read yet")
    await rooms.setup.read(await rooms.files.get(file_id, None))
    assert (await client.get(f"{FILES}/{file_id}/text")).json() == {"file_id": file_id, "text": TEXT}
    await rooms.setup.read(await rooms.files.get(file_id, None), pages=[[1, 0, 28]])
    pages = (await client.get(f"{FILES}/{file_id}/text")).json()["pages"]
    assert pages == [{"page": 1, "start": 0, "end": 28}]
    await rooms.setup.set(file_id, status="failed", error_message="It is encrypted.")
    refused(await client.get(f"{FILES}/{file_id}/text"), 409, "conflict", "could not be read")
    assert (await client.get(f"{FILES}/status/{file_id}")).json()["error_message"] == "It is encrypted."
    response = await client.post(f"{FILES}/{file_id}/reprocess")
    assert (response.status_code, response.json()["status"]) == (202, "uploaded")
    await rooms.setup.set(file_id, status="processing")
    refused(await client.post(f"{FILES}/{file_id}/reprocess"), 409, "conflict")


async def test_a_deleted_file_is_gone(client: httpx.AsyncClient) -> None:
    file_id = (await uploaded(client))["file_id"]
    response = await client.delete(f"{FILES}/{file_id}")
    quota = {"quota_used_bytes": 0, "quota_limit_bytes": 2 * MB}
    assert (response.status_code, response.json()) == (
        200, {"status": "deleted", "file_id": file_id, "quota": quota},
    )  # fmt: skip
    for path in (file_id, f"{file_id}/text", f"{file_id}/content", f"status/{file_id}"):
        refused(await client.get(f"{FILES}/{path}"), 404, "not_found", "No such file.")
    refused(await client.delete(f"{FILES}/{file_id}"), 404, "not_found", "No such file.")


async def test_anothers_file_answers_as_one_that_never_was(rooms: FileRooms, database: Database) -> None:
    ada, bob = await add_user(database), await add_user(database, "bob")
    chat = (await add_chat(database)).id
    async with rooms.client(ada) as client:
        theirs = (await uploaded(client))["file_id"]
    await rooms.setup.read(await rooms.files.get(theirs, ada))
    for who in (bob, None):
        async with rooms.client(who) as client:
            for file_id in (theirs, new_id()):
                base = f"{FILES}/{file_id}"
                responses = [
                    await client.get(base),
                    await client.get(f"{base}/text"),
                    await client.get(f"{base}/content", headers={"If-None-Match": "*"}),
                    await client.get(f"{FILES}/status/{file_id}"),
                    await client.post(f"{base}/attach", json={"chat_id": chat}),
                    await client.post(f"{base}/detach", json={"chat_id": chat}),
                    await client.post(f"{base}/reprocess"),
                    await client.delete(base),
                ]
                for response in responses:
                    body = response.json()
                    del body["request_id"]
                    assert body == {"detail": "No such file.", "type": "not_found", "code": 404}, response.request.url


async def test_a_file_is_attached_and_detached(rooms: FileRooms, database: Database) -> None:
    ada, bob = await add_user(database), await add_user(database, "bob")
    mine, theirs = (await add_chat(database, ada)).id, (await add_chat(database, bob)).id
    async with rooms.client(ada) as client:
        url = f"{FILES}/{(await uploaded(client))['file_id']}"
        for call, chats in (("attach", [mine]), ("attach", [mine]), ("detach", []), ("detach", [])):
            response = await client.post(f"{url}/{call}", json={"chat_id": mine})
            assert (response.status_code, response.json()["chat_ids"]) == (200, chats)
        for chat in (theirs, new_id()):
            for call in ("attach", "detach"):
                refused(await client.post(f"{url}/{call}", json={"chat_id": chat}), 404, "not_found", "No such chat.")
        for body in ({}, {"chat_id": "x"}, {"chat_id": None}, []):
            refused(await client.post(f"{url}/attach", json=body), 422, "validation_error")


async def test_what_failed_is_for_admins(rooms: FileRooms, database: Database) -> None:
    ada = await add_user(database)
    async with rooms.client(ada) as client:
        file = await uploaded(client)
        refused(await client.get(f"{FILES}/failed"), 403, "forbidden")
    await rooms.setup.set(file["file_id"], status="failed", error_message="It is encrypted.", attempts=3)
    async with rooms.client() as client:
        refused(await client.get(f"{FILES}/failed"), 401, "unauthorized")
    async with rooms.client(await add_user(database, "root"), admin=True) as client:
        body = (await client.get(f"{FILES}/failed")).json()
        expected = {
            "file_id": file["file_id"], "owner_id": ada, "mime_type": "text/plain", "size_bytes": 10,
            "error_message": "It is encrypted.", "attempts": 3, "finished_at": None,
        }  # fmt: skip
        assert body == {"items": [expected], "total": 1, "page": 1, "page_size": 20, "pages": 1}


@pytest.mark.parametrize("query", ["page=0", "page=1000001", "page_size=0", "page_size=101", "page=x"])
async def test_a_list_that_makes_no_sense_is_refused(query: str, client: httpx.AsyncClient) -> None:
    refused(await client.get(f"{FILES}?{query}"), 422, "validation_error")


@pytest.mark.parametrize("path", ["x", "x/text", "x/content", "status/x", "..%2f..%2fetc", "%00"])
async def test_an_id_that_is_none_is_refused(path: str, client: httpx.AsyncClient) -> None:
    response = await client.get(f"{FILES}/{path}")
    assert response.status_code in (404, 422)


async def test_the_same_file_at_once_is_one(rooms: FileRooms, database: Database) -> None:
    async with rooms.client(await add_user(database)) as client:
        files = await asyncio.gather(*(uploaded(client) for _ in range(8)))
        assert len({file["file_id"] for file in files}) == 1
        assert (await client.get(FILES)).json()["total"] == 1
    assert len(await rooms.setup.kept()) == 1


def form_head(size: int | None = None) -> bytes:
    length = {"Transfer-Encoding": "chunked"} if size is None else {"Content-Length": str(size)}
    return head("POST", f"{FILES}/upload", **FORM, **length)


def piece(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def test_a_file_that_is_too_large_is_refused_when_it_becomes_so(rooms: FileRooms) -> None:
    """The body never ends: who waited for its end would wait for ever."""
    async with serving(rooms.app()) as client:
        port = client.base_url.port or 0
        answer = await exchange(port, form_head(), piece(BEGIN), *[piece(bytes(64 * 1024))] * 17)
        assert (answer.status, answer.json()["type"]) == (413, "payload_too_large")
        assert answer.headers["connection"] == "close"
        declared = await exchange(port, form_head(FORM_LIMIT + 1))
        assert (declared.status, declared.json()["type"]) == (413, "payload_too_large")
    assert (rooms.left(), await rooms.setup.kept()) == ([], set())


async def test_a_client_that_goes_away_in_mid_body_leaves_nothing(rooms: FileRooms) -> None:
    data = bytes(MB - 100)
    async with serving(rooms.app()) as client:
        async with connected(client.base_url.port or 0) as (_, writer):
            writer.write(form_head(MB + 1000) + BEGIN + data)
            await writer.drain()
        async with asyncio.timeout(10):
            while rooms.uploads._under_way:  # noqa: ASYNC110  nobody is told of its end
                await asyncio.sleep(0.005)
    assert (rooms.left(), await rooms.setup.kept()) == ([], set())


async def test_a_client_that_stalls_is_told_so(database: Database, tmp_path: Path) -> None:
    rooms = FileRooms(database, tmp_path, stall_seconds=0.05)
    async with serving(rooms.app()) as client:
        answer = await exchange(client.base_url.port or 0, form_head(10_000), BEGIN)
    assert (answer.status, answer.json()["type"], answer.headers["connection"]) == (408, "request_timeout", "close")
    assert rooms.left() == []
