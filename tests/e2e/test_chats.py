"""Chats with the service as it runs: asked over one transport, read over another, there after a restart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import Service, running
from tests.model_server import ModelServer

CHATS = "/api/v1/chats"
QUESTION = "What does a health factor below one mean in DeFi lending?"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_chat_is_asked_edited_rated_exported_and_deleted(embedded: Service) -> None:
    async with embedded.client() as client:
        chat = (await client.post(CHATS, json={"title": "Lending"})).json()["id"]
        url = f"{CHATS}/{chat}"
        response = await client.post(f"{url}/messages", json={"content": QUESTION})
        assert response.status_code == 201
        question, answer = response.json()["user_message"], response.json()["assistant_message"]
        assert answer["model"] == "extractive"
        assert answer["citations"][0]["quote"]
        edited = await client.patch(f"{url}/messages/{question['id']}", json={"content": "What is staking?"})
        assert edited.status_code == 201
        again = await client.post(f"{url}/messages/{edited.json()['assistant_message']['id']}/regenerate")
        assert again.status_code == 201
        latest = again.json()["assistant_message"]["id"]
        rated = await client.post(f"{url}/messages/{latest}/feedback", json={"is_positive": True})
        assert rated.status_code == 201
        items = (await client.get(f"{url}/messages")).json()["items"]
        assert [message["id"] for message in items] == [edited.json()["user_message"]["id"], latest]
        assert (await client.get(f"{url}/messages", params={"superseded": True})).json()["total"] == 5
        assert "What is staking?" in (await client.get(f"{url}/export")).text
        assert (await client.delete(url)).status_code == 204
        assert (await client.get(url)).status_code == 404


@pytest.mark.asyncio(loop_scope="module")
async def test_a_socket_session_is_a_chat(embedded: Service) -> None:
    async with embedded.socket() as socket, embedded.client() as client:
        session = (await socket.hello())["session_id"]
        frames = await socket.ask(QUESTION)
        answer = next(frame for frame in frames if frame["type"] == "complete")
        items = (await client.get(f"{CHATS}/{session}/messages")).json()["items"]
        assert [message["role"] for message in items] == ["user", "assistant"]
        assert items[0]["content"] == QUESTION
        assert items[1]["content"] == answer["answer"]
        assert items[1]["citations"] == answer["citations"]
        assert items[1]["confidence"] == pytest.approx(answer["confidence"])


async def test_a_chat_outlives_the_process(tmp_path: Path) -> None:
    async with running(tmp_path) as service, service.client() as client:
        chat = (await client.post(CHATS, json={})).json()["id"]
        await client.post(f"{CHATS}/{chat}/messages", json={"content": QUESTION})
        before = (await client.get(f"{CHATS}/{chat}/messages")).json()
    async with running(tmp_path) as service, service.client() as client:
        assert (await client.get(f"{CHATS}/{chat}/messages")).json() == before
        response = await client.post(f"{CHATS}/{chat}/messages", json={"content": QUESTION})
        assert response.json()["user_message"]["parent_id"] == before["items"][-1]["id"]


async def test_a_question_whose_answer_failed_stays(start: Callable[..., Any], model: ModelServer) -> None:
    service = await start(MODEL_FALLBACKS="none", PROVIDER_MAX_RETRIES=0, OPENAI_BASE_URL="http://127.0.0.1:9")
    async with service.client() as client:
        chat = (await client.post(CHATS, json={})).json()["id"]
        response = await client.post(f"{CHATS}/{chat}/messages", json={"content": QUESTION})
        assert (response.status_code, response.json()["type"]) == (503, "provider_unavailable")
        items = (await client.get(f"{CHATS}/{chat}/messages")).json()["items"]
        assert [(message["role"], message["status"]) for message in items] == [
            ("user", "complete"), ("assistant", "error"),
        ]  # fmt: skip
