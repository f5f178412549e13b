"""An agent that is kept to the knowledge, and a file that is to be summed up: its words are nowhere in the question."""

from typing import Any

import httpx
import pytest

from tests.e2e.people import signed_in
from tests.e2e.service import Service
from tests.e2e.test_files_found import WALRUS, sent
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
API = "/api/v1"
SETTINGS = {"MODEL_FALLBACKS": "none"}
SUM_UP = "Please sum this up for me in a sentence."
SAID = "Theodore the walrus eats forty kilograms of clams on every weekday [1]."


async def answered(client: httpx.AsyncClient, chat: str, **body: Any) -> str:
    response = await client.post(f"{API}/chat", json={"message": SUM_UP, "conversation_id": chat, **body})
    assert response.status_code == 200, response.text
    return str(response.json()["response"])


async def test_what_was_chosen_or_asked_for_whole_is_answered_from_and_nothing_else_is(
    shared: Service, scripted: ModelServer
) -> None:
    scripted.tokens([SAID])
    async with shared.client(headers=await signed_in(shared)) as client:
        walrus = (await sent(client, "walrus.md", WALRUS.encode()))["file_id"]

        async def chat_with(**agent: Any) -> str:
            made = await client.post(f"{API}/agents", json={"name": "Kept", "answers": "knowledge_only", **agent})
            chat = {"title": "Walrus", "agent_id": made.json()["id"]}
            return str((await client.post(f"{API}/chats", json=chat)).json()["id"])

        chat = await chat_with()
        told = [
            await answered(client, chat, file_ids=[walrus]),
            await answered(client, chat, file_ids=[walrus], rag_mode="full_file"),
        ]
        assert told == [SAID, SAID]
        assert [request.body["messages"][-1]["content"].count("Heligoland") for request in scripted.requests] == [1, 1]
        declined = [
            await answered(client, chat),
            await answered(client, chat, file_ids=[walrus], rag_mode="hybrid"),
            await answered(client, await chat_with(knowledge_scope={"files": [walrus], "shared": False})),
        ]
        assert [SAID in answer for answer in declined] == [False] * 3
        assert len(scripted.requests) == 2
