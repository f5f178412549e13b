"""The routes of messages, on both databases: questions asked for good, asked anew, refused, rated."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from infrastructure.errors import ProviderProtocolError, ProviderUnavailable
from tests.agents.fakes import Endless, fails, says
from tests.backend.chat_rooms import CHATS, ChatRooms, made
from tests.services.chat_rows import add_chat

MESSAGE_FIELDS = {
    "id", "chat_id", "role", "content", "tool_calls", "tool_call_id", "created_at", "citations", "confidence", "model",
    "status", "parent_id", "superseded_at",
}  # fmt: skip


@pytest.fixture
def rooms(database: Database) -> ChatRooms:
    return ChatRooms(database)


@pytest_asyncio.fixture
async def client(rooms: ChatRooms) -> AsyncIterator[httpx.AsyncClient]:
    """An anonymous client."""
    async with rooms.client() as client:
        yield client


async def asked(client: httpx.AsyncClient, chat: str, content: str = "What is the capital?") -> tuple[str, str]:
    """The ids of the question and the answer."""
    response = await client.post(f"{CHATS}/{chat}/messages", json={"content": content})
    assert response.status_code == 201, response.text
    body = response.json()
    return body["user_message"]["id"], body["assistant_message"]["id"]


async def contents(client: httpx.AsyncClient, chat: str, **query: Any) -> list[str]:
    response = await client.get(f"{CHATS}/{chat}/messages", params=query)
    body = response.json()
    assert body["total"] == len(body["items"])
    return [message["content"] for message in body["items"]]


async def test_a_question_and_its_answer_stay_in_the_chat(rooms: ChatRooms, client: httpx.AsyncClient) -> None:
    chat = await made(client)
    content = "  What is the\ncapital?  "
    response = await client.post(f"{CHATS}/{chat}/messages", json={"content": content})
    assert response.status_code == 201
    question, answer = response.json()["user_message"], response.json()["assistant_message"]
    assert set(question) == set(answer) == MESSAGE_FIELDS
    assert (question["role"], question["content"], question["status"]) == ("user", content, "complete")
    assert (answer["role"], answer["content"]) == ("assistant", "Paris is the capital of France. [1]")
    assert (answer["parent_id"], answer["chat_id"]) == (question["id"], chat)
    assert (answer["status"], answer["model"]) == ("complete", "scripted-1")
    assert (question["citations"], question["confidence"], question["model"]) == ([], None, None)
    (citation,) = answer["citations"]
    assert citation["quote"] == "Paris is the capital of France."
    assert set(citation) == {"id", "document", "document_id", "chunk_id", "start", "end", "quote", "score"}
    listed = (await client.get(f"{CHATS}/{chat}/messages")).json()
    assert listed == {"items": [question, answer], "total": 2}
    assert (await client.get(f"{CHATS}/{chat}/messages/{answer['id']}")).json() == answer
    kept = (await client.get(f"{CHATS}/{chat}")).json()
    assert (kept["message_count"], kept["title"]) == (2, "What is the capital?")
    assert rooms.metrics.queries._value.get() == 1


async def test_a_regenerated_answer_takes_the_place_of_the_first(database: Database) -> None:
    rooms = ChatRooms(database, says("First."), says("Second."), says("Third."))
    async with rooms.client() as client:
        chat = await made(client)
        question, answer = await asked(client, chat, "Q?")
        for message_id, text in ((answer, "Second."), (question, "Third.")):
            response = await client.post(f"{CHATS}/{chat}/messages/{message_id}/regenerate")
            assert response.status_code == 201
            body = response.json()
            assert (body["user_message"]["id"], body["assistant_message"]["content"]) == (question, text)
            assert body["assistant_message"]["parent_id"] == question
        assert await contents(client, chat) == ["Q?", "Third."]
        assert await contents(client, chat, superseded=True) == ["Q?", "First.", "Second.", "Third."]
        old = (await client.get(f"{CHATS}/{chat}/messages/{answer}")).json()
        assert old["superseded_at"].endswith("Z")


async def test_an_edited_question_is_answered_anew_from_there(database: Database) -> None:
    rooms = ChatRooms(database, says("A1."), says("A2."), says("B1."))
    async with rooms.client() as client:
        chat = await made(client)
        question, answer = await asked(client, chat, "Q1?")
        await asked(client, chat, "Q2?")
        response = await client.patch(f"{CHATS}/{chat}/messages/{question}", json={"content": "Better?"})
        assert response.status_code == 201
        assert response.json()["user_message"]["content"] == "Better?"
        assert response.json()["user_message"]["id"] != question
        assert await contents(client, chat) == ["Better?", "B1."]
        assert (await client.get(f"{CHATS}/{chat}")).json()["message_count"] == 2
        refused = await client.patch(f"{CHATS}/{chat}/messages/{answer}", json={"content": "Better?"})
        assert refused.status_code == 422
        refused = await client.patch(f"{CHATS}/{chat}/messages/{question}", json={"content": "Better?"})
        assert (refused.status_code, refused.json()["type"]) == (409, "conflict")
        missing = await client.patch(f"{CHATS}/{chat}/messages/{new_id()}", json={"content": "Better?"})
        assert missing.json()["detail"] == "No such message."


@pytest.mark.parametrize("content", ["x", " x ", "é" * 32_000, "{0} %s <b>"])
async def test_a_message_is_kept_as_it_is_sent(content: str, client: httpx.AsyncClient) -> None:
    chat = await made(client)
    await asked(client, chat, content)
    assert (await contents(client, chat))[0] == content


@pytest.mark.parametrize(
    "body",
    [
        '{"content": ""}', '{"content": " \\n\\u00a0\\t"}', '{"content": "%s"}' % ("x" * 32_001), "{}",
        '{"content": null}', '{"content": 5}', r'{"content": "a\u0000b"}', r'{"content": "a\ud800"}', "",
    ],
    ids=lambda body: body[:24],
)  # fmt: skip
async def test_a_message_that_is_none_is_refused(body: str, client: httpx.AsyncClient) -> None:
    chat = await made(client)
    question, _ = await asked(client, chat, "Q?")
    headers = {"Content-Type": "application/json"}
    url = f"{CHATS}/{chat}/messages"
    assert (await client.post(url, content=body, headers=headers)).status_code == 422
    assert (await client.patch(f"{url}/{question}", content=body, headers=headers)).status_code == 422
    assert len(await contents(client, chat)) == 2


async def test_a_resend_gets_the_same_answer(client: httpx.AsyncClient) -> None:
    chat = await made(client)
    url, headers = f"{CHATS}/{chat}/messages", {"Idempotency-Key": "one"}
    first = await client.post(url, json={"content": "Q?"}, headers=headers)
    again = await client.post(url, json={"content": "Q?"}, headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    other = await client.post(url, json={"content": "Another?"}, headers=headers)
    assert other.status_code == 409
    assert len(await contents(client, chat)) == 2
    assert (await client.post(url, json={"content": "Q?"}, headers={"Idempotency-Key": "a b"})).status_code == 422


async def test_an_answer_that_never_began_is_an_error_and_the_question_stays(database: Database) -> None:
    rooms = ChatRooms(database, fails(ProviderUnavailable("The model is away.")), fall_back=False)
    async with rooms.client() as client:
        chat = await made(client)
        response = await client.post(f"{CHATS}/{chat}/messages", json={"content": "Q?"})
        assert (response.status_code, response.json()["type"]) == (503, "provider_unavailable")
        items = (await client.get(f"{CHATS}/{chat}/messages")).json()["items"]
        assert [(m["content"], m["status"]) for m in items] == [("Q?", "complete"), ("", "error")]


async def test_an_answer_that_broke_off_is_given_with_its_status(database: Database) -> None:
    rooms = ChatRooms(database, fails(ProviderProtocolError("It broke."), "Paris is "))
    async with rooms.client() as client:
        chat = await made(client)
        response = await client.post(f"{CHATS}/{chat}/messages", json={"content": "Q?"})
        assert response.status_code == 201
        answer = response.json()["assistant_message"]
        assert (answer["content"].strip(), answer["status"]) == ("Paris is", "error")


async def test_a_chat_deleted_while_it_is_answered_stops_and_is_gone(database: Database) -> None:
    upstream = Endless("Paris ")
    rooms = ChatRooms(database, upstream)
    async with rooms.client() as client:
        chat = await made(client)
        asking = asyncio.create_task(client.post(f"{CHATS}/{chat}/messages", json={"content": "Q?"}))
        await asyncio.wait_for(upstream.streaming.wait(), 10)
        assert (await client.delete(f"{CHATS}/{chat}")).status_code == 204
        response = await asyncio.wait_for(asking, 10)
        assert (response.status_code, response.json()["detail"]) == (404, "No such chat.")
        assert upstream.closed
        assert (await client.get(f"{CHATS}/{chat}/messages")).status_code == 404
    assert rooms.published[-1] == (chat, "chat.deleted", {"id": chat})


async def test_feedback_is_kept_and_may_be_changed(rooms: ChatRooms, client: httpx.AsyncClient) -> None:
    chat = await made(client)
    question, answer = await asked(client, chat)
    url = f"{CHATS}/{chat}/messages/{answer}/feedback"
    first = await client.post(url, json={"is_positive": True})
    assert first.status_code == 201
    again = (await client.post(url, json={"is_positive": False, "feedback_text": "Too short."})).json()
    assert again.pop("created_at").endswith("Z")
    assert again == {"message_id": answer, "is_positive": False, "feedback_text": "Too short."}
    kept = await rooms.chats.message(chat, answer, None)
    assert kept.feedback == {"is_positive": False, "feedback_text": "Too short."}
    wrong = await client.post(f"{CHATS}/{chat}/messages/{question}/feedback", json={"is_positive": True})
    assert wrong.status_code == 422
    missing = await client.post(f"{CHATS}/{chat}/messages/{new_id()}/feedback", json={"is_positive": True})
    assert missing.json()["detail"] == "No such message."


@pytest.mark.parametrize(
    "body",
    ["{}", '{"is_positive": null}', '{"is_positive": true, "feedback_text": "%s"}' % ("x" * 4001),
     r'{"is_positive": true, "feedback_text": "\u0000"}', r'{"is_positive": true, "feedback_text": "\ud800"}'],
    ids=lambda body: body[:40],
)  # fmt: skip
async def test_feedback_that_cannot_be_kept_is_refused(
    body: str, client: httpx.AsyncClient, database: Database
) -> None:
    rows = await add_chat(database, turns=[("Q", "A")])
    url = f"{CHATS}/{rows.id}/messages/{rows.answers[0]}/feedback"
    response = await client.post(url, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
