"""One question, one answer, over plain HTTP: shapes, sessions and headers to the letter of the contract."""

from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.e2e.service import ROOT, Service
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETTINGS = {"PROVIDER_MAX_RETRIES": 0}
Start = Callable[..., Awaitable[Service]]
QUESTION = "What is a liquidation threshold?"
FIELDS = ["answer", "citations", "confidence", "error", "grounded", "model", "processing_stage", "run_id", "session_id"]
CITED = {"id", "document", "document_id", "chunk_id", "start", "end", "quote", "score"}


async def post(service: Service, path: str, headers: dict[str, str] | None = None, **body: Any) -> Any:
    async with service.client() as client:
        return await client.post(path, json={"question": QUESTION} | body, headers=headers)


def spoken(request: Any) -> list[str]:
    """What a request to the model says, but for the rules."""
    return [message["content"] for message in request.body["messages"] if message["role"] != "system"]


@pytest.mark.parametrize("path", ["/ask", "/v2/ask"])
async def test_an_answer_has_every_field_of_the_contract(path: str, shared: Service, scripted: ModelServer) -> None:
    scripted.reply("Hello from the model.")
    response = await post(shared, path)
    body = response.json()
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert sorted(body) == FIELDS
    assert body["answer"] == "Hello from the model."
    assert (body["error"], body["model"], body["processing_stage"]) == (None, "scripted", "response_complete")
    assert 0 <= body["confidence"] <= 1
    assert isinstance(body["grounded"], bool)
    assert UUID(body["run_id"]).version == 7


async def test_ask_has_no_session_and_keeps_nothing(shared: Service, scripted: ModelServer) -> None:
    bodies = [(await post(shared, "/ask")).json() for _ in range(2)]
    assert [body["session_id"] for body in bodies] == [None, None]
    assert all(len(spoken(request)) == 1 for request in scripted.requests)


async def test_v2_ask_makes_a_session_and_remembers_it(shared: Service, scripted: ModelServer) -> None:
    scripted.reply("It is the loan-to-value at which a position is liquidated.")
    scripted.reply("Because prices move.")
    session_id = (await post(shared, "/v2/ask")).json()["session_id"]
    again = (await post(shared, "/v2/ask", question="And why is it there?", session_id=session_id)).json()
    assert UUID(session_id)
    assert again["session_id"] == session_id
    first, answer, second = spoken(scripted.requests[1])
    assert first == QUESTION
    assert answer == "It is the loan-to-value at which a position is liquidated."
    assert second.endswith("And why is it there?")


@pytest.mark.parametrize("path", ["/ask", "/v2/ask"])
async def test_an_unknown_session_id_starts_that_session(path: str, shared: Service, scripted: ModelServer) -> None:
    session_id = str(uuid4())
    assert (await post(shared, path, session_id=session_id)).json()["session_id"] == session_id
    await post(shared, "/v2/ask", session_id=session_id.upper())
    assert spoken(scripted.requests[1])[0] == QUESTION


async def test_sessions_over_http_and_over_the_socket_are_the_same(shared: Service, scripted: ModelServer) -> None:
    async with shared.socket() as socket:
        session_id = (await socket.hello())["session_id"]
        await socket.ask(QUESTION)
    await post(shared, "/v2/ask", session_id=session_id)
    assert spoken(scripted.requests[1])[0] == QUESTION


async def test_another_session_hears_nothing_of_it(shared: Service, scripted: ModelServer) -> None:
    await post(shared, "/v2/ask")
    await post(shared, "/v2/ask")
    assert len(spoken(scripted.requests[1])) == 1


async def test_without_a_model_the_answer_is_cited_to_the_letter(embedded: Service) -> None:
    body = (await post(embedded, "/ask")).json()
    assert (body["model"], body["processing_stage"], body["grounded"]) == ("extractive", "response_complete", True)
    for citation in body["citations"]:
        assert CITED <= set(citation) <= CITED | {"page", "section"}
        assert f"[{citation['id']}]" in body["answer"]
    plain = [citation for citation in body["citations"] if citation["document"].endswith(".md")]
    assert plain
    for citation in plain:  # Markdown is its own extracted text
        text = (ROOT / "knowledge" / citation["document"]).read_text()
        assert text[citation["start"] : citation["end"]] == citation["quote"]


async def test_a_curated_question_gets_its_answer_as_it_stands(embedded: Service) -> None:
    body = (await post(embedded, "/ask", question="What is a flash loan?")).json()
    assert body["model"] == "curated"
    assert [citation["quote"] for citation in body["citations"]] == [body["answer"]]


async def test_what_nothing_supports_is_said_to_be_unknown(embedded: Service) -> None:
    response = await post(embedded, "/ask", question="Who won the chess olympiad of 1972 in Skopje?")
    body = response.json()
    assert response.status_code == 200
    assert (body["processing_stage"], body["citations"], body["grounded"]) == ("no_relevant_answer", [], False)
    assert body["answer"].startswith("I don't know")
    assert body["confidence"] < 0.5


@pytest.mark.parametrize("given", ["abc", "A.b_c-9", "x" * 128])
async def test_a_sound_request_id_is_given_back(given: str, shared: Service, scripted: ModelServer) -> None:
    response = await post(shared, "/ask", {"X-Request-ID": given})
    assert response.headers.get_list("x-request-id") == [given]


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a/b", "<b>", "a\tb"])
async def test_a_request_id_that_is_none_is_replaced(given: str, shared: Service, scripted: ModelServer) -> None:
    made = {(await post(shared, "/ask", {"X-Request-ID": given})).headers["x-request-id"] for _ in range(2)}
    assert len(made) == 2
    assert all(UUID(request_id) for request_id in made)


async def test_every_answer_says_what_the_caller_has_left(shared: Service, scripted: ModelServer) -> None:
    headers = [(await post(shared, "/ask")).headers for _ in range(3)]
    assert {answer["x-ratelimit-limit"] for answer in headers} == {"100000"}
    left = [int(answer["x-ratelimit-remaining"]) for answer in headers]
    assert all(later < earlier for earlier, later in pairwise(left))
    assert all(answer["x-ratelimit-reset"].isdigit() for answer in headers)


async def test_a_model_that_fails_is_stood_in_for(shared: Service, scripted: ModelServer) -> None:
    scripted.status(503)
    response = await post(shared, "/ask")
    body = response.json()
    assert (response.status_code, body["model"], body["processing_stage"]) == (200, "extractive", "response_complete")
    assert body["citations"]


@pytest.mark.asyncio
async def test_a_dead_provider_without_a_fallback_is_told(start: Start, model: ModelServer) -> None:
    model.stop_listening()
    service = await start(MODEL_FALLBACKS="none", PROVIDER_MAX_RETRIES=1)
    response = await post(service, "/ask")
    body = response.json()
    assert (response.status_code, body["code"], body["type"]) == (503, 503, "provider_unavailable")
    assert set(body) == {"detail", "type", "code", "request_id"}
    assert body["request_id"] == response.headers["x-request-id"]


@pytest.mark.asyncio
async def test_a_dead_provider_falls_back_to_the_knowledge(start: Start, model: ModelServer) -> None:
    model.stop_listening()
    body = (await post(await start(PROVIDER_MAX_RETRIES=1), "/v2/ask")).json()
    assert body["model"] == "extractive"
    assert body["answer"]
