"""The routes of chats, on both databases: shapes, and what is refused."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from tests.backend.chat_rooms import CHATS, ChatRooms, made
from tests.services.chat_rows import TurnRow, add_chat, add_user

CHAT_FIELDS = {
    "id", "title", "metadata", "created_at", "updated_at", "agent_id", "is_archived", "message_count",
}  # fmt: skip


@pytest.fixture
def rooms(database: Database) -> ChatRooms:
    return ChatRooms(database)


@pytest_asyncio.fixture
async def client(rooms: ChatRooms) -> AsyncIterator[httpx.AsyncClient]:
    """An anonymous client."""
    async with rooms.client() as client:
        yield client


async def test_a_chat_has_the_contracts_shape(client: httpx.AsyncClient) -> None:
    response = await client.post(CHATS, json={"title": "Lending", "metadata": {"a": [1]}, "user_id": new_id()})
    assert response.status_code == 201
    body = response.json()
    assert set(body) == CHAT_FIELDS
    assert (body["title"], body["metadata"], body["agent_id"]) == ("Lending", {"a": [1]}, None)
    assert (body["is_archived"], body["message_count"]) == (False, 0)
    assert body["created_at"].endswith("Z")
    assert (await client.get(f"{CHATS}/{body['id']}")).json() == body
    assert (await client.post(CHATS, json={"metadata": None})).json()["metadata"] == {}


async def test_a_user_has_a_list_and_an_anonymous_caller_has_none(rooms: ChatRooms, database: Database) -> None:
    ada = await add_user(database)
    async with rooms.client(user=ada) as client:
        first = await made(client, title="50% off")
        second = await made(client, title="Lending")
        page = (await client.get(CHATS, params={"page_size": 1})).json()
        assert {**page, "items": [chat["id"] for chat in page["items"]]} == {
            "items": [second], "total": 2, "page": 1, "page_size": 1, "pages": 2,
        }  # fmt: skip
        assert set(page["items"][0]) == CHAT_FIELDS
        assert [c["id"] for c in (await client.get(CHATS, params={"q": "0% O"})).json()["items"]] == [first]
        assert (await client.get(CHATS, params={"archived": True})).json()["total"] == 0
    async with rooms.client() as client:
        await made(client)
        assert (await client.get(CHATS)).json() == {"items": [], "total": 0, "page": 1, "page_size": 20, "pages": 0}


async def test_anothers_chat_answers_as_one_that_never_was(database: Database) -> None:
    ada, bob = await add_user(database, "ada"), await add_user(database, "bob")
    rows = await add_chat(database, ada, turns=[("Q", "A")])
    for who in (bob, None):
        async with ChatRooms(database).client(user=who) as client:
            for chat_id, message_id in ((rows.id, rows.answers[0]), (new_id(), new_id())):
                base = f"{CHATS}/{chat_id}"
                responses = [
                    await client.get(base),
                    await client.patch(base, json={"title": "x"}),
                    await client.patch(base, json={}),
                    await client.delete(base),
                    await client.get(f"{base}/export"),
                    await client.get(f"{base}/messages"),
                    await client.get(f"{base}/messages/{message_id}"),
                    await client.post(f"{base}/messages", json={"content": "What?"}),
                    await client.patch(f"{base}/messages/{message_id}", json={"content": "What?"}),
                    await client.post(f"{base}/messages/{message_id}/regenerate"),
                    await client.post(f"{base}/messages/{message_id}/feedback", json={"is_positive": True}),
                ]
                for response in responses:
                    body = response.json()
                    del body["request_id"]
                    assert body == {"detail": "No such chat.", "type": "not_found", "code": 404}, response.request.url


async def test_a_change_leaves_what_is_not_sent(client: httpx.AsyncClient) -> None:
    chat = await made(client, title="First", metadata={"a": 1})
    url = f"{CHATS}/{chat}"
    assert (await client.patch(url, json={"is_archived": True})).json()["title"] == "First"
    body = (await client.patch(url, json={"title": None})).json()
    assert (body["title"], body["metadata"], body["is_archived"]) == (None, {"a": 1}, True)
    assert (await client.patch(url, json={"metadata": None})).json()["metadata"] == {}
    before = (await client.get(url)).json()
    assert (await client.patch(url, json={"id": new_id(), "message_count": 9})).json() == before


async def test_a_deleted_chat_is_gone(client: httpx.AsyncClient) -> None:
    chat = await made(client)
    response = await client.delete(f"{CHATS}/{chat}")
    assert (response.status_code, response.content) == (204, b"")
    assert (await client.get(f"{CHATS}/{chat}")).status_code == 404
    assert (await client.delete(f"{CHATS}/{chat}")).status_code == 404


async def test_an_agent_is_not_to_be_had_yet(client: httpx.AsyncClient) -> None:
    response = await client.post(CHATS, json={"agent_id": new_id()})
    assert (response.status_code, response.json()["detail"]) == (404, "No such agent.")


def nested(depth: int, inner: Any = 1) -> dict[str, Any]:
    value = inner
    for _ in range(depth):
        value = {"a": value}
    return value  # type: ignore[no-any-return]  # a dictionary, as depth is not 0


@pytest.mark.parametrize(
    "body",
    [
        {"title": "x" * 255},
        {"title": "\U0001d518" * 255},
        {"metadata": nested(32)},
        {"metadata": {"a": [[["", 1.5, None, True]]]}},
        {"metadata": {"a": "x" * (16 * 1024 - 8)}},
    ],
    ids=["title", "title of wide characters", "deep", "mixed", "large"],
)
async def test_what_is_just_allowed_is_kept(body: dict[str, Any], client: httpx.AsyncClient) -> None:
    chat = await made(client, **body)
    kept = (await client.get(f"{CHATS}/{chat}")).json()
    assert {name: kept[name] for name in body} == body


BAD_CHATS = [
    '{"title": "%s"}' % ("x" * 256),
    r'{"title": "a\u0000b"}',
    r'{"title": "a\ud800b"}',
    '{"title": 5}',
    '{"metadata": []}',
    '{"metadata": "x"}',
    json.dumps({"metadata": nested(33)}),
    json.dumps({"metadata": nested(33, [])}),
    '{"metadata": {"a": %s}}' % ("[" * 500 + "]" * 500),
    json.dumps({"metadata": {"a": "x" * (16 * 1024 - 7)}}),
    r'{"metadata": {"a": ["\u0000"]}}',
    r'{"metadata": {"a\u0000": 1}}',
    r'{"metadata": {"a": "\udfff"}}',
    '{"metadata": {"a": NaN}}',
]


@pytest.mark.parametrize("body", BAD_CHATS, ids=lambda body: body[:40])
async def test_a_chat_that_cannot_be_kept_is_refused(body: str, client: httpx.AsyncClient) -> None:
    chat = await made(client, title="First")
    headers = {"Content-Type": "application/json"}
    for response in (
        await client.post(CHATS, content=body, headers=headers),
        await client.patch(f"{CHATS}/{chat}", content=body, headers=headers),
    ):
        assert (response.status_code, response.json()["type"]) == (422, "validation_error")
    assert (await client.get(f"{CHATS}/{chat}")).json()["title"] == "First"


@pytest.mark.parametrize("body", ['{"is_archived": null}', '{"is_archived": "perhaps"}', "[]", ""])
async def test_a_change_that_makes_no_sense_is_refused(body: str, client: httpx.AsyncClient) -> None:
    chat = await made(client)
    response = await client.patch(f"{CHATS}/{chat}", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422


@pytest.mark.parametrize(
    "query", ["page=0", "page=1000001", "page_size=0", "page_size=101", "page=x", "q=a%00b", f"q={'x' * 201}",
              "archived=perhaps"],
)  # fmt: skip
async def test_a_list_that_makes_no_sense_is_refused(query: str, client: httpx.AsyncClient) -> None:
    assert (await client.get(f"{CHATS}?{query}")).status_code == 422


async def test_the_last_page_that_may_be_asked_for_is_empty(rooms: ChatRooms, database: Database) -> None:
    ada = await add_user(database)
    await add_chat(database, ada, title="x")
    async with rooms.client(user=ada) as client:
        for query in ({}, {"q": "x"}):
            params = {"page": 1_000_000, "page_size": 100, **query}
            body = (await client.get(CHATS, params=params)).json()
            assert (body["items"], body["total"], body["pages"]) == ([], 1, 1)


@pytest.mark.parametrize("path", ["x", "x/messages", "x/export", "01999999-0000-7000-8000-000000000000/messages/x"])
async def test_an_id_that_is_none_is_refused(path: str, client: httpx.AsyncClient) -> None:
    assert (await client.get(f"{CHATS}/{path}")).status_code == 422


async def test_an_export_is_an_attachment_named_by_the_chats_id(client: httpx.AsyncClient, database: Database) -> None:
    rows = await add_chat(
        database, title='a"; filename=evil.exe\r\n', turns=[TurnRow("Old?", superseded=True), ("Q?", "A. [2]")]
    )
    url = f"{CHATS}/{rows.id}/export"
    markdown = await client.get(url)
    assert markdown.headers["content-type"] == "text/markdown; charset=utf-8"
    assert markdown.headers["content-disposition"] == f'attachment; filename="chat-{rows.id}.md"'
    assert "```text\nQ?\n```" in markdown.text
    assert "> A. [2]" in markdown.text
    assert "Old?" not in markdown.text
    exported = await client.get(url, params={"format": "json"})
    assert exported.headers["content-type"] == "application/json"
    assert exported.headers["content-disposition"] == f'attachment; filename="chat-{rows.id}.json"'
    body = exported.json()
    assert set(body) == {*CHAT_FIELDS, "messages"}
    assert body["messages"] == (await client.get(f"{CHATS}/{rows.id}/messages")).json()["items"]
    assert (await client.get(url, params={"format": "pdf"})).status_code == 422
