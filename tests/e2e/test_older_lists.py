"""The lists that older clients read, and what they change there: the same conversations under other names."""

from uuid import uuid4

import pytest

from tests.e2e.older import CHAT, get, kept, post
from tests.e2e.people import signed_in
from tests.e2e.service import Service
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUESTION = "What is a liquidation threshold?"


async def test_an_anonymous_caller_has_no_lists(shared: Service, scripted: ModelServer) -> None:
    await post(shared, CHAT, prompt=QUESTION)
    for path in ("/api/v1/sessions/", "/api/v1/sessions"):
        response = await get(shared, path)
        assert (response.status_code, response.json()) == (200, [])
    listed = await get(shared, "/api/v1/conversations?page=2&per_page=7")
    assert listed.json() == {"conversations": [], "total": 0, "page": 2, "per_page": 7}


async def test_sessions_are_listed_the_latest_first(shared: Service, scripted: ModelServer) -> None:
    headers = await signed_in(shared)
    ids = [(await post(shared, CHAT, headers, prompt=f"{QUESTION} {i}")).json()["session_id"] for i in range(3)]
    await post(shared, CHAT, headers, prompt=QUESTION, session_id=ids[0])
    for path in ("/api/v1/sessions/", "/api/v1/sessions"):
        sessions = (await get(shared, path, headers)).json()
        assert [session["session_id"] for session in sessions] == [ids[0], ids[2], ids[1]]
        assert [session["message_count"] for session in sessions] == [4, 2, 2]
        assert all(set(session) == {"session_id", "title", "created_at", "updated_at", "message_count"}
                   for session in sessions)  # fmt: skip


async def test_conversations_are_listed_page_by_page(shared: Service, scripted: ModelServer) -> None:
    headers = await signed_in(shared)
    for i in range(3):
        await post(shared, CHAT, headers, message=f"{QUESTION} {i}")
    pages = [(await get(shared, f"/api/v1/conversations?page={n}&per_page=2", headers)).json() for n in (1, 2, 3)]
    assert [len(page["conversations"]) for page in pages] == [2, 1, 0]
    assert [(page["total"], page["page"], page["per_page"]) for page in pages] == [(3, n, 2) for n in (1, 2, 3)]
    first = pages[0]["conversations"][0]
    assert set(first) == {
        "id", "user_id", "title", "model_source", "model_name", "is_archived", "message_count", "created_at",
        "updated_at",
    }  # fmt: skip
    assert (first["model_source"], first["model_name"], first["message_count"]) == ("openai", "scripted", 2)
    assert first["user_id"] == (await get(shared, "/api/v1/auth/me", headers)).json()["id"]


@pytest.mark.parametrize("query", ["page=0", "per_page=0", "per_page=101", "page=x", "page=1000001"])
async def test_a_page_that_is_none_is_refused(query: str, shared: Service) -> None:
    response = await get(shared, f"/api/v1/conversations?{query}")
    assert (response.status_code, response.json()["type"]) == (422, "validation_error")


async def test_a_conversation_is_changed_and_deleted(shared: Service, scripted: ModelServer) -> None:
    headers = await signed_in(shared)
    conversation_id = (await post(shared, CHAT, headers, message=QUESTION)).json()["conversation_id"]
    path = f"/api/v1/conversations/{conversation_id}"
    async with shared.client(headers=headers) as client:
        change = {"title": "Lending", "is_archived": True, "user_id": str(uuid4())}
        changed = (await client.patch(path, json=change)).json()
        assert (changed["title"], changed["is_archived"]) == ("Lending", True)
        same = (await client.patch(path, json={"title": None})).json()
        assert (same["title"], same["is_archived"]) == ("Lending", True)
        assert (await client.get(path)).json() == same
        assert (await client.patch(path, json={"title": "x" * 256})).status_code == 422
        gone = await client.delete(path)
        assert (gone.status_code, gone.json()) == (200, {"status": "deleted", "conversation_id": conversation_id})
        for gone in (await client.get(path), await client.get(f"{path}/messages"), await client.delete(path),
                     await client.patch(path, json={"title": "x"}),
                     await client.get(f"/api/v1/chats/{conversation_id}")):  # fmt: skip
            assert gone.status_code == 404


async def test_another_users_conversation_is_as_one_that_never_was(shared: Service, scripted: ModelServer) -> None:
    owner, stranger = await signed_in(shared), await signed_in(shared)
    theirs = (await post(shared, CHAT, owner, prompt=QUESTION)).json()["session_id"]
    never = str(uuid4())
    for headers in (stranger, {}):
        async with shared.client(headers=headers) as client:
            for chat_id in (theirs, never):
                path = f"/api/v1/conversations/{chat_id}"
                answers = [
                    await client.get(path),
                    await client.get(f"{path}/messages"),
                    await client.patch(path, json={"title": "Mine"}),
                    await client.delete(path),
                    await client.post(CHAT, json={"message": QUESTION, "conversation_id": chat_id}),
                    await client.post(f"{CHAT}/stream", json={"message": QUESTION, "conversation_id": chat_id}),
                ]
                told = [(answer.status_code, {**answer.json(), "request_id": ""}) for answer in answers]
                assert told == [(404, told[0][1])] * len(told)
                assert told[0][1]["detail"] == "No such chat."
            for path in (CHAT, f"{CHAT}/stream"):
                response = await client.post(path, json={"prompt": QUESTION, "session_id": theirs})
                assert (response.status_code, response.json()["detail"]) == (404, "No such chat.")
    assert len(await kept(shared, theirs, owner)) == 2
