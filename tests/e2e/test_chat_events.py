"""A chat's events from the running service, whoever asks and by whatever transport."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx
import pytest

from tests.e2e.chat_sse import ChatEvents
from tests.e2e.people import signed_in
from tests.e2e.service import Service
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETTINGS = {"PROVIDER_MAX_RETRIES": 0, "MODEL_FALLBACKS": "none"}
Start = Callable[..., Awaitable[Service]]
QUESTION = "What is a liquidation threshold?"
TOKENS = ["It ", "is ", "a ", "value."]


async def new_chat(client: httpx.AsyncClient) -> str:
    response = await client.post("/api/v1/chats", json={"title": "Lending"})
    assert response.status_code == 201
    return str(response.json()["id"])


@asynccontextmanager
async def followed(client: httpx.AsyncClient, chat_id: str) -> AsyncIterator[ChatEvents]:
    async with client.stream("GET", f"/api/v1/chats/{chat_id}/events") as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield ChatEvents(response)


async def test_a_question_over_http_is_followed_to_its_end(shared: Service, scripted: ModelServer) -> None:
    scripted.tokens(TOKENS)
    async with shared.client() as client:
        chat_id = await new_chat(client)
        async with followed(client, chat_id) as events:
            asked = client.post(f"/api/v1/chats/{chat_id}/messages", json={"content": QUESTION})
            exchange = (await asked).json()
            read = await events.until("chat.updated")
    assert {event["chat_id"] for event in read} == {chat_id}
    kinds = [event["event_type"] for event in read]
    deltas = [event["data"] for event in read if event["event_type"] == "message.delta"]
    assert kinds[:2] == ["message.created", "agent.processing"]
    assert kinds[2:] == ["message.delta"] * len(deltas) + ["message.completed", "chat.updated"]
    created, processing, completed = (read[kinds.index(kind)]["data"] for kind in (
        "message.created", "agent.processing", "message.completed"))  # fmt: skip
    assert created["message"]["id"] == exchange["user_message"]["id"]
    assert (created["message"]["role"], created["message"]["content"]) == ("user", QUESTION)
    assert {delta["run_id"] for delta in deltas} == {processing["run_id"]} == {completed["run_id"]}
    assert {delta["message_id"] for delta in deltas} == {exchange["assistant_message"]["id"]}
    assert "".join(delta["content"] for delta in deltas) == "".join(TOKENS) == completed["message"]["content"]
    assert completed["message"]["status"] == "complete"


async def test_a_question_over_the_socket_is_followed_too(shared: Service, scripted: ModelServer) -> None:
    async with shared.client() as client, shared.socket() as socket:
        session_id = (await socket.hello())["session_id"]
        await socket.ask(QUESTION)
        async with followed(client, session_id) as events:
            scripted.clear()
            scripted.tokens(TOKENS)
            await socket.ask("And why?")
            read = await events.until("message.completed")
    assert "".join(event["data"].get("content", "") for event in read) == "".join(TOKENS)


async def test_who_joins_in_the_middle_gets_the_rest(shared: Service, scripted: ModelServer) -> None:
    gate = scripted.gate()
    scripted.tokens(TOKENS, gate=gate)
    async with shared.client() as client:
        chat_id = await new_chat(client)
        async with followed(client, chat_id) as first:
            asking = asyncio.create_task(client.post(f"/api/v1/chats/{chat_id}/messages", json={"content": QUESTION}))
            gate.release()
            await first.until("message.delta")
            async with followed(client, chat_id) as second:
                assert (await second.next())["event_type"] == "agent.processing"
                gate.open()
                read = await second.until("message.completed")
        await asking
    assert "".join(event["data"].get("content", "") for event in read) == "".join(TOKENS[1:])


async def test_a_stopped_answer_is_told_as_it_is(shared: Service, scripted: ModelServer) -> None:
    scripted.hang(["Half ", "an "])
    async with shared.client() as client:
        chat_id = await new_chat(client)
        async with followed(client, chat_id) as events:
            asking = asyncio.create_task(client.post(f"/api/v1/chats/{chat_id}/messages", json={"content": QUESTION}))
            run_id = (await events.until("message.delta"))[-1]["data"]["run_id"]
            await client.post(f"/runs/{run_id}/cancel")
            message = (await events.until("message.completed"))[-1]["data"]["message"]
        await asking
    assert (message["content"], message["status"]) == ("Half an ", "incomplete")


async def test_a_change_of_the_chat_is_told(shared: Service) -> None:
    async with shared.client() as client:
        chat_id = await new_chat(client)
        async with followed(client, chat_id) as events:
            await client.patch(f"/api/v1/conversations/{chat_id}", json={"title": "Borrowing"})
            assert (await events.next())["data"]["title"] == "Borrowing"


@pytest.mark.parametrize("path", ["/api/v1/chats", "/api/v1/conversations"])
async def test_a_deleted_chat_ends_its_stream(path: str, shared: Service) -> None:
    async with shared.client() as client:
        chat_id = await new_chat(client)
        async with followed(client, chat_id) as events:
            await client.delete(f"{path}/{chat_id}")
            assert [event["event_type"] for event in await events.rest()] == ["chat.deleted"]


async def test_only_who_may_read_a_chat_may_follow_it(shared: Service) -> None:
    owner, stranger = await signed_in(shared), await signed_in(shared)
    async with shared.client() as client:
        made = await client.post("/api/v1/chats", json={}, headers=owner)
        theirs, never = made.json()["id"], str(uuid4())
        told = []
        for headers in (stranger, {}):
            for chat_id in (theirs, never):
                response = await client.get(f"/api/v1/chats/{chat_id}/events", headers=headers)
                told.append((response.status_code, {**response.json(), "request_id": ""}))
        assert told == [told[0]] * 4
        assert told[0][0] == 404
        async with client.stream("GET", f"/api/v1/chats/{theirs}/events", headers=owner) as response:
            assert response.status_code == 200


async def test_a_name_that_is_no_id_is_refused(shared: Service) -> None:
    async with shared.client() as client:
        assert (await client.get("/api/v1/chats/mine/events")).status_code == 422


@pytest.mark.asyncio
async def test_a_stream_ends_with_the_token_that_opened_it(start: Start) -> None:
    service = await start(JWT_ACCESS_TOKEN_EXPIRE_MINUTES=0.05)
    async with service.client(headers=await signed_in(service)) as client:
        chat_id = await new_chat(client)
        async with followed(client, chat_id) as events:
            assert await asyncio.wait_for(events.rest(), 10) == []
        assert (await client.get(f"/api/v1/chats/{chat_id}")).status_code == 401


@pytest.mark.asyncio
async def test_a_stream_ends_as_it_should_when_the_service_does(start: Start) -> None:
    service = await start()
    async with service.client() as client:
        chat_id = await new_chat(client)
        async with followed(client, chat_id) as events:
            service.terminate()
            assert await events.rest() == []
    assert await asyncio.wait_for(service.process.wait(), 10) == 0


@pytest.mark.asyncio
async def test_an_answer_that_is_finished_while_the_service_ends_is_told(start: Start, model: ModelServer) -> None:
    gate = model.gate()
    model.tokens(TOKENS, gate=gate)
    service = await start()
    async with service.client() as client:
        chat_id = await new_chat(client)
        async with followed(client, chat_id) as events:
            asking = asyncio.create_task(client.post(f"/api/v1/chats/{chat_id}/messages", json={"content": QUESTION}))
            gate.release()
            await events.until("message.delta")
            service.terminate()
            gate.open()
            completed = (await events.until("message.completed"))[-1]["data"]["message"]
            await events.rest()
        await asking
    assert (completed["content"], completed["status"]) == ("".join(TOKENS), "complete")
