"""Uploads against the running service: in, out and gone again, and nothing left of what was not wanted."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.e2e.owners import People, send
from tests.e2e.raw import connected, exchange, head
from tests.e2e.route_table import FILES
from tests.e2e.service import Service, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
CANARY = "canary7f3a"
MB = 1024 * 1024
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
BEGIN = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{CANARY}.txt"\r\n\r\n'.encode()


async def uploaded(client: Any, data: bytes, name: str = "notes.txt", **fields: str) -> dict[str, Any]:
    response = await client.post(f"{FILES}/upload", files={"file": (name, data)}, data=fields)
    assert response.status_code == 202, response.text
    body: dict[str, Any] = response.json()
    return body


def kept(folder: Path) -> list[Path]:
    """All files that are there: temporary ones and those in storage."""
    places = (folder / "data" / "incoming", folder / "data" / "uploads")
    return [path for place in places if place.exists() for path in place.rglob("*") if path.is_file()]


async def nothing_left(folder: Path, before: list[Path]) -> None:
    async with asyncio.timeout(10):
        while set(kept(folder)) - set(before):  # noqa: ASYNC110  another process ends its request
            await asyncio.sleep(0.01)


async def test_a_file_goes_in_comes_out_and_is_gone(embedded: Service) -> None:
    async with embedded.client() as client:
        data = b"The launch code of the tea kettle is 4711.\n" * 5000
        body = await uploaded(client, data, "../tea kettle.txt")
        file = body["file"]
        assert file["original_filename"] == "tea kettle.txt"
        content = await client.get(f"{FILES}/{file['file_id']}/content")
        assert (content.status_code, content.content) == (200, data)
        assert content.headers["content-security-policy"] == "sandbox"
        gone = (await client.delete(f"{FILES}/{file['file_id']}")).json()
        assert gone["quota"]["quota_used_bytes"] == body["quota"]["quota_used_bytes"] - len(data)
        for path in ("", "/text", "/content"):
            assert (await client.get(f"{FILES}/{file['file_id']}{path}")).status_code == 404


async def test_an_upload_larger_than_other_bodies_gets_in(embedded: Service) -> None:
    async with embedded.client() as client:
        file = (await uploaded(client, b"A line of text.\n" * (4 * MB // 16)))["file"]
        assert file["size_bytes"] == 4 * MB
        assert (await client.delete(f"{FILES}/{file['file_id']}")).status_code == 200


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def small(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Service, Path]]:
    """A service that takes little, and its folder."""
    folder = tmp_path_factory.mktemp("small")
    async with running(folder, {"MAX_FILESIZE_MB": 1, "USER_FILE_QUOTA_MB": 2}) as service:
        yield service, folder


async def test_a_users_files_go_with_the_account(small: tuple[Service, Path]) -> None:
    service, folder = small
    async with People(service) as people:
        ada = await people.registered()
        file = (await uploaded(ada.client, b"Mine."))["file"]
        assert len(kept(folder)) == 1
        assert (await send(ada, "DELETE", "/api/v1/auth/me")).status == 204
        assert kept(folder) == []
        told = await send(people.nobody(), "GET", f"{FILES}/{file['file_id']}")
        assert told.status == 404


async def test_what_is_aborted_or_refused_leaves_nothing(small: tuple[Service, Path]) -> None:
    service, folder = small
    before = kept(folder)
    begin = head("POST", f"{FILES}/upload", **FORM, **{"Content-Length": str(MB)}) + BEGIN
    for sent in (begin, begin + bytes(MB // 2)):
        async with connected(service.port) as (_, writer):
            writer.write(sent)
            await writer.drain()
        await service.logged("request", route=f"{FILES}/upload", status=422)
        service.log.clear()
    await nothing_left(folder, before)
    chunked = head("POST", f"{FILES}/upload", **FORM, **{"Transfer-Encoding": "chunked"})
    piece = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    answer = await exchange(service.port, chunked, b"%x\r\n%s\r\n" % (len(BEGIN), BEGIN), *[piece] * 17)
    assert (answer.status, answer.json()["type"]) == (413, "payload_too_large")
    declared = head("POST", f"{FILES}/upload", **FORM, **{"Content-Length": str(4 * MB)})
    assert (await exchange(service.port, declared)).status == 413
    async with service.client() as client:
        image = {"file": (f"{CANARY}.txt", b"\x89PNG\r\n\x1a\n" + bytes(100))}
        assert (await client.post(f"{FILES}/upload", files=image)).status_code == 415
        large = [("file", (f"{CANARY}-{n}.txt", bytes([65 + n]) * (MB - 300))) for n in range(2)]
        assert (await client.post(f"{FILES}/upload", files=large)).status_code == 202
        response = await client.post(f"{FILES}/upload", files={"file": (f"{CANARY}.txt", b"a" * 601)})
        assert (response.status_code, "quota of 2 MB" in response.json()["detail"]) == (413, True)
    assert len(set(kept(folder)) - set(before)) == 2
    assert CANARY not in "".join(service.raw)  # no name is in the log
    assert [line for line in service.log if line.get("level") in ("error", "critical")] == []


async def test_the_same_file_at_once_is_one(embedded: Service) -> None:
    async with People(embedded) as people:
        ada = await people.registered()
        bodies = await asyncio.gather(*(uploaded(ada.client, b"The same bytes.") for _ in range(10)))
        assert len({body["file"]["file_id"] for body in bodies}) == 1
        page = (await ada.client.get(FILES)).json()
        assert (page["total"], page["items"][0]["file_id"]) == (1, bodies[0]["file"]["file_id"])
        assert (await ada.client.get(f"{FILES}/quota")).json()["quota_used_bytes"] == 15


@pytest.mark.parametrize("chat_id", ["x", "\0", "a" * 101, "0199f3a0-7c3e-7d63-9a53-0f2f0c8f5a1", "\ud83d"])
async def test_a_chat_id_that_is_none_is_refused(chat_id: str, embedded: Service) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="chat_id"\r\n\r\n' + chat_id.encode("utf-8", "surrogatepass")
    body = part + b"\r\n" + BEGIN + b"x\r\n--b--\r\n"
    answer = await exchange(
        embedded.port, head("POST", f"{FILES}/upload", **FORM, **{"Content-Length": str(len(body))}) + body
    )
    assert (answer.status, json.loads(answer.body)["type"]) == (422, "validation_error")


async def test_an_unknown_chat_is_none(embedded: Service) -> None:
    async with embedded.client() as client:
        response = await client.post(f"{FILES}/upload", files={"file": ("a.txt", b"x")}, data={"chat_id": str(uuid4())})
        assert (response.status_code, response.json()["detail"]) == (404, "No such chat.")
