"""What older clients send, and what they get: the same conversations under other names."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.e2e.older import CHAT, get, kept, post
from tests.e2e.service import Service
from tests.e2e.sse import events, read_run
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETTINGS = {"PROVIDER_MAX_RETRIES": 0, "MODEL_FALLBACKS": "none", "SSE_COMMENT_SECONDS": 0.2}
QUESTION = "What is a liquidation threshold?"
TOKENS = ["It ", "is ", "a ", "value."]
ANSWER = "".join(TOKENS)
PROMPTED = {
    "response_id", "request", "response", "created_at", "completed_at", "elapsed_time_ms", "model_name",
    "finish_reason", "session_id",
}  # fmt: skip
TOLD = {"response", "conversation_id", "message_id", "model_used", "tokens_used", "generation_time", "sources"}


@asynccontextmanager
async def streamed(service: Service, path: str = f"{CHAT}/stream", **body: Any) -> AsyncIterator[httpx.Response]:
    async with service.client() as client, client.stream("POST", path, json=body) as response:
        yield response


async def frames_of(response: httpx.Response, comments: list[bytes] | None = None) -> list[dict[str, Any]]:
    return [event.frame async for event in events(response, comments)]


# A prompt


@pytest.mark.parametrize("path", [CHAT, f"{CHAT}/"])
async def test_a_prompt_is_answered_with_every_field(path: str, shared: Service, scripted: ModelServer) -> None:
    scripted.tokens(TOKENS)
    response = await post(shared, path, prompt=QUESTION, model_name="llama3", options={"temperature": 0.1})
    body = response.json()
    assert (response.status_code, set(body)) == (200, PROMPTED)
    assert (body["response"], body["model_name"], body["finish_reason"]) == (ANSWER, "scripted", "stop")
    assert body["request"] == {
        "prompt": QUESTION, "session_id": None, "model_name": "llama3", "options": {"temperature": 0.1},
    }  # fmt: skip
    begun, ended = (datetime.fromisoformat(body[name]) for name in ("created_at", "completed_at"))
    assert body["created_at"].endswith("Z")
    assert abs((ended - begun).total_seconds() * 1000 - body["elapsed_time_ms"]) < 1000
    assert await kept(shared, body["session_id"]) == [("user", QUESTION), ("assistant", ANSWER)]


async def test_a_session_goes_on_under_its_id(shared: Service, scripted: ModelServer) -> None:
    session_id = str(uuid4())
    first = (await post(shared, CHAT, prompt=QUESTION, session_id=session_id.upper())).json()
    second = (await post(shared, f"{CHAT}/", prompt="And why?", session_id=session_id)).json()
    assert first["session_id"] == second["session_id"] == session_id
    assert [text for _, text in await kept(shared, session_id)][::2] == [QUESTION, "And why?"]
    assert QUESTION in [message["content"] for message in scripted.requests[1].body["messages"]]


@pytest.mark.parametrize("path", [f"{CHAT}/stream", f"{CHAT}/stream/"])
async def test_a_prompts_stream_is_the_text_as_it_is_written(path: str, shared: Service, scripted: ModelServer) -> None:
    gate = scripted.gate()
    scripted.tokens(TOKENS, gate=gate)
    gate.release()
    async with streamed(shared, path, prompt=QUESTION) as response:
        assert (response.status_code, response.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        read = ""
        async for text in response.aiter_text():
            read += text
            if read == TOKENS[0]:
                gate.open()
    assert read == ANSWER
    assert await kept(shared, response.headers["x-session-id"]) == [("user", QUESTION), ("assistant", ANSWER)]


async def test_a_stream_that_fails_before_its_text_has_a_status(shared: Service, scripted: ModelServer) -> None:
    scripted.status(503)
    response = await post(shared, f"{CHAT}/stream", prompt=QUESTION)
    assert (response.status_code, response.json()["type"]) == (503, "provider_unavailable")
    assert set(response.json()) == {"detail", "type", "code", "request_id"}


async def test_a_stream_that_fails_within_its_text_does_not_end_as_a_whole_one(
    shared: Service, scripted: ModelServer
) -> None:
    gate = scripted.gate()
    scripted.cut(TOKENS[:2], gate=gate)
    async with streamed(shared, prompt=QUESTION) as response:
        pieces = response.aiter_text()
        read = [await anext(pieces)]
        gate.open()
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            read += [piece async for piece in pieces]
    assert "".join(TOKENS[:2]).startswith("".join(read))


@pytest.mark.parametrize("shape", ["prompt", "message"])
async def test_a_client_that_leaves_does_not_stop_the_answer(
    shape: str, shared: Service, scripted: ModelServer
) -> None:
    gate = scripted.gate()
    scripted.tokens(TOKENS, gate=gate)
    gate.release()
    async with streamed(shared, **{shape: QUESTION}) as response:
        await anext(response.aiter_bytes())
    gate.open()
    async with shared.client() as client:
        last = (await read_run(client, response.headers["x-run-id"]))[-1].frame
    assert (last["type"], last["answer"]) == ("complete", ANSWER)
    assert await kept(shared, response.headers["x-session-id"]) == [("user", QUESTION), ("assistant", ANSWER)]


# A message


@pytest.mark.parametrize("path", [CHAT, f"{CHAT}/"])
async def test_a_message_is_answered_with_every_field(path: str, shared: Service, scripted: ModelServer) -> None:
    scripted.tokens(TOKENS)
    response = await post(
        shared, path, message=QUESTION, model_source="openai", model_name="gpt-4o", temperature=0.7, max_tokens=2048,
        file_ids=[], rag_mode="auto",
    )  # fmt: skip
    body = response.json()
    assert (response.status_code, set(body)) == (200, TOLD)
    assert (body["response"], body["model_used"], body["sources"]) == (ANSWER, "scripted", [])
    assert body["tokens_used"] > 0
    assert 0 <= body["generation_time"] < 20
    messages = (await get(shared, f"/api/v1/conversations/{body['conversation_id']}/messages")).json()["items"]
    assert [message["id"] for message in messages][1] == body["message_id"]


async def test_a_conversation_goes_on_under_its_id(shared: Service, scripted: ModelServer) -> None:
    first = (await post(shared, CHAT, message=QUESTION)).json()
    second = (await post(shared, CHAT, message="And why?", conversation_id=first["conversation_id"])).json()
    assert second["conversation_id"] == first["conversation_id"]
    assert len(await kept(shared, first["conversation_id"])) == 4


@pytest.mark.parametrize("path", [CHAT, f"{CHAT}/stream"])
async def test_an_unknown_conversation_is_not_begun(path: str, shared: Service, scripted: ModelServer) -> None:
    unknown = str(uuid4())
    for _ in range(2):
        response = await post(shared, path, message=QUESTION, conversation_id=unknown)
        assert (response.status_code, response.json()["type"]) == (404, "not_found")
    assert scripted.requests == []


@pytest.mark.parametrize("path", [f"{CHAT}/stream", f"{CHAT}/stream/"])
async def test_a_messages_stream_has_its_own_frames(path: str, shared: Service, scripted: ModelServer) -> None:
    scripted.tokens(TOKENS)
    async with streamed(shared, path, message=QUESTION) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        first, *chunks, last = await frames_of(response)
    names = {name: first[name] for name in ("conversation_id", "message_id")}
    assert first == {"type": "start"} | names
    assert {chunk["type"] for chunk in chunks} == {"chunk"}
    assert "".join(chunk["content"] for chunk in chunks) == ANSWER
    metadata = last.pop("metadata")
    assert last == {"type": "done"} | names
    assert (metadata["model_used"], metadata["sources"], metadata["finish_reason"]) == ("scripted", [], "stop")
    assert set(metadata) >= {"tokens_used", "generation_time"}
    assert await kept(shared, names["conversation_id"]) == [("user", QUESTION), ("assistant", ANSWER)]


async def test_a_stream_begins_before_the_first_word(shared: Service, scripted: ModelServer) -> None:
    """Silence is filled with comments, which readers of `data:` lines pass over."""
    gate = scripted.gate()
    scripted.tokens(TOKENS, gate=gate)
    kinds = []
    async with streamed(shared, message=QUESTION) as response:
        async for line in response.aiter_lines():
            if line.startswith(":"):
                gate.open()
            kinds += [line.partition('"type":')[2].partition(",")[0] or line] if line else []
    assert kinds[:2] == ['"start"', ": alive"]
    assert kinds[-1] == '"done"'


@pytest.mark.parametrize("text", [[], TOKENS[:2]])
async def test_a_stream_that_fails_says_so_in_a_frame(text: list[str], shared: Service, scripted: ModelServer) -> None:
    scripted.cut(text)
    async with streamed(shared, message=QUESTION) as response:
        first, *chunks, last = await frames_of(response)
    assert (response.status_code, first["type"]) == (200, "start")
    assert "".join(chunk["content"] for chunk in chunks) == "".join(text)
    assert set(last) == {"type", "error"}
    assert (last["type"], bool(last["error"])) == ("error", True)


async def test_a_failed_message_has_a_status(shared: Service, scripted: ModelServer) -> None:
    scripted.status(503)
    response = await post(shared, CHAT, message=QUESTION)
    assert (response.status_code, response.json()["type"]) == (503, "provider_unavailable")


async def test_a_stopped_answer_is_given_as_far_as_it_came(shared: Service, scripted: ModelServer) -> None:
    scripted.hang(["Half ", "an "])
    async with streamed(shared, message=QUESTION) as response:
        read = []
        async for event in events(response):
            read.append(event.frame)
            if "".join(frame.get("content", "") for frame in read) == "Half an " and read[-1]["type"] == "chunk":
                await post(shared, f"/runs/{response.headers['x-run-id']}/cancel")
    assert read[-1]["type"] == "done"
    assert read[-1]["metadata"]["finish_reason"] == "cancelled"


async def test_what_supports_an_answer_is_given_with_it(embedded: Service) -> None:
    body = (await post(embedded, CHAT, message=QUESTION)).json()
    assert body["model_used"] == "extractive"
    assert body["sources"]
    for source in body["sources"]:
        assert {"document", "document_id", "score", "quote"} <= set(source)
        assert set(source) <= {"document", "document_id", "score", "quote", "page", "section"}
        assert None not in source.values()


# What tells them apart, and what is refused


@pytest.mark.parametrize("path", [CHAT, f"{CHAT}/", f"{CHAT}/stream", f"{CHAT}/stream/"])
@pytest.mark.parametrize(
    "body",
    [
        {}, [], "prompt", 7, None,
        {"prompt": QUESTION, "message": QUESTION}, {"question": QUESTION}, {"prompt": None}, {"message": None},
        {"prompt": ""}, {"prompt": "  \n"}, {"prompt": 7}, {"prompt": "a\0b"}, {"prompt": "x" * 32_001},
        {"prompt": QUESTION, "session_id": "mine"}, {"prompt": QUESTION, "options": []},
        {"prompt": QUESTION, "options": {"a\0": 1}}, {"prompt": QUESTION, "model_name": "x" * 201},
        {"message": ""}, {"message": "x" * 10_001}, {"message": ["x"]}, {"message": "a\0b"},
        {"message": QUESTION, "conversation_id": "1"}, {"message": QUESTION, "model_source": "other"},
        {"message": QUESTION, "temperature": 2.1}, {"message": QUESTION, "temperature": -0.1},
        {"message": QUESTION, "max_tokens": 0}, {"message": QUESTION, "max_tokens": 8193},
        {"message": QUESTION, "file_ids": "all"}, {"message": QUESTION, "rag_mode": "full"},
    ],
)  # fmt: skip
async def test_what_neither_client_sends_is_refused(
    body: Any, path: str, shared: Service, scripted: ModelServer
) -> None:
    async with shared.client() as client:
        response = await client.post(path, content=json.dumps(body))
    assert (response.status_code, response.json()["type"]) == (422, "validation_error")
    assert scripted.requests == []


async def test_deep_options_are_refused_and_not_echoed(shared: Service) -> None:
    deep = '{"a":' * 200 + "1" + "}" * 200
    async with shared.client() as client:
        response = await client.post(CHAT, content=f'{{"prompt":"{QUESTION}","options":{deep}}}')
    assert response.status_code == 422
    assert len(response.content) < 1000


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "?", "message": None},
        {"prompt": "x" * 32_000, "user_id": str(uuid4()), "is_admin": True},
        {"message": "x" * 10_000, "prompt": None},
        {"message": "?", "temperature": 2, "max_tokens": 8192, "model_source": "local", "rag_mode": "full_file"},
        {"message": "?", "temperature": 0, "max_tokens": 1, "model_source": "aihub", "rag_mode": "hybrid"},
        {"message": "?", "conversation_id": None, "model_source": None, "temperature": None, "file_ids": None},
    ],
)
async def test_what_either_client_may_send_is_taken(body: Any, shared: Service, scripted: ModelServer) -> None:
    assert (await post(shared, CHAT, **body)).status_code == 200


@pytest.mark.parametrize("shape", ["prompt", "message"])
async def test_a_resend_joins_the_answer_under_way(shape: str, shared: Service, scripted: ModelServer) -> None:
    gate = scripted.gate()
    scripted.tokens(TOKENS, gate=gate)
    headers = {"Idempotency-Key": str(uuid4())}
    first = asyncio.create_task(post(shared, CHAT, headers, **{shape: QUESTION}))
    await scripted.asked()
    second = asyncio.create_task(post(shared, CHAT, headers, **{shape: QUESTION}))
    gate.open()
    bodies = [(await ask).json() for ask in (first, second)]
    names = ("session_id", "response_id") if shape == "prompt" else ("conversation_id", "message_id")
    assert [bodies[0][name] for name in names] == [bodies[1][name] for name in names]
    assert len(scripted.requests) == 1
    other = await post(shared, CHAT, headers, **{shape: "Another question?"})
    assert (other.status_code, other.json()["type"]) == (409, "conflict")
