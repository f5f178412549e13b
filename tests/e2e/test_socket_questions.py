"""What a question frame may say besides its question: the model, an edit, an answer anew. And what the page is told."""

import html
import json
import re
from typing import Any

import pytest

from tests.e2e.people import signed_in
from tests.e2e.service import Service, Socket, answer_of
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETTINGS = {"MODEL_FALLBACKS": "openai/second,extractive"}
QUESTION = "What is a liquidation threshold?"


async def messages(service: Service, chat_id: str, headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    async with service.client(headers=headers) as client:
        items: list[dict[str, Any]] = (await client.get(f"/api/v1/chats/{chat_id}/messages")).json()["items"]
        return items


async def refusal(socket: Socket, **fields: Any) -> str:
    await socket.send(type="question", **fields)
    return str((await socket.until(type="error"))[-1]["code"])


async def test_a_model_is_chosen_for_one_question(shared: Service, scripted: ModelServer) -> None:
    scripted.tokens(["Yes."])
    async with shared.socket() as socket:
        await socket.ask(QUESTION, model_source="openai", model_name="second")
        assert scripted.requests[-1].body["model"] == "second"
        await socket.ask(QUESTION)
        assert scripted.requests[-1].body["model"] == "scripted"
        assert await refusal(socket, question=QUESTION, model_name="gpt-9") == "validation_error"
        assert await refusal(socket, question=QUESTION, model_name=7) == "validation_error"


async def test_a_question_is_edited_and_answered_anew(shared: Service, scripted: ModelServer) -> None:
    for text in ("One.", "Two.", "Three."):
        scripted.tokens([text])
    async with shared.socket() as socket:
        chat_id = (await socket.hello())["session_id"]
        await socket.ask(QUESTION)
        asked, answer = await messages(shared, chat_id)
        for _ in range(2):  # said again, it is the same run
            frames = await socket.ask("", session_id=chat_id, regenerates=answer["id"], request_id="again")
            assert answer_of(frames) == "Two."
        frames = await socket.ask("Why so?", session_id=chat_id, edits=asked["id"])
        assert answer_of(frames) == "Three."
        assert [one["content"] for one in await messages(shared, chat_id)] == ["Why so?", "Three."]
        missing = {"session_id": chat_id, "question": QUESTION}
        assert await refusal(socket, **missing, edits="no id") == "validation_error"
        assert await refusal(socket, **missing, edits=chat_id) == "not_found"
        assert await refusal(socket, **missing, regenerates=chat_id) == "not_found"
        assert await refusal(socket, **missing, edits=asked["id"], regenerates=answer["id"]) == "validation_error"


async def test_nobody_edits_in_another_users_chat(shared: Service, scripted: ModelServer) -> None:
    scripted.tokens(["Mine."])
    who = await signed_in(shared)
    async with shared.socket(additional_headers=who) as socket:
        chat_id = (await socket.hello())["session_id"]
        await socket.ask(QUESTION)
    asked, answer = await messages(shared, chat_id, who)
    async with shared.socket() as stranger:
        assert await refusal(stranger, question=QUESTION, session_id=chat_id, edits=asked["id"]) == "not_found"
        assert await refusal(stranger, session_id=chat_id, regenerates=answer["id"]) == "not_found"


async def test_the_models_that_may_be_chosen_are_listed(shared: Service) -> None:
    async with shared.client() as client:
        choices = (await client.get("/api/v1/models/choices")).json()
    named = [(one["source"], one["name"], one["default"]) for one in choices["items"]]
    assert named == [("openai", "scripted", True), ("openai", "second", False), ("extractive", "extractive", False)]


async def test_the_page_knows_what_it_needs_before_it_asks(shared: Service) -> None:
    async with shared.client(headers={"Accept": "text/html"}) as client:
        page = await client.get("/")
        found = re.search(r'<meta name="askgraph" content="([^"]*)">', page.text)
        assert found
        facts = json.loads(html.unescape(found[1]))
        assert facts == {"auth_required": False, "question_max_chars": 2000, "max_filesize_mb": 50}
        assert 'rel="modulepreload" href="/static/chat/conversation.js"' in page.text
        again = await client.get("/", headers={"If-None-Match": page.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


async def test_a_pages_files_are_asked_for_again_and_sent_once(shared: Service) -> None:
    async with shared.client() as client:
        file = await client.get("/static/theme.css")
        assert file.headers["cache-control"] == "no-cache"
        again = await client.get("/static/theme.css", headers={"If-None-Match": file.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
