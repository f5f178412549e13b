"""The OpenAI-compatible routes: what they refuse and how, which models there are, and what a bare model is asked."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio

from backend.schemas.openai_answers import EmbeddingListBody
from infrastructure.embedders.wordllama import NAME
from infrastructure.errors import ProviderUnavailable
from infrastructure.providers.types import Message, ToolSpec, Usage
from services.embeddings import Embeddings
from services.principals import Principal
from services.serving_model import WordsOnly
from tests.agents.fakes import call, calls, fails
from tests.backend.openai_rooms import OpenAIRooms, ask

FUNCTION = {"name": "f", "description": "Does it.", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": FUNCTION}
DEEP: dict[str, Any] = {}
for _ in range(70):
    DEEP = {"a": DEEP}


@pytest.fixture
def rooms() -> OpenAIRooms:
    return OpenAIRooms()


@pytest_asyncio.fixture
async def client(rooms: OpenAIRooms) -> AsyncIterator[httpx.AsyncClient]:
    async with rooms.client() as client:
        yield client


def refused(response: httpx.Response, status: int, param: str | None, code: str | None = "invalid_value") -> None:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(response.json()) == {"error"}
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["param"], error["code"]) == (param, code), error


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"n": 0}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "0.5"}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"seed": 0.5}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"frequency_penalty": -3}, "frequency_penalty"),
        ({"reasoning_effort": "Very high"}, "reasoning_effort"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": [""]}, "stop[0]"),
        ({"model": ""}, "model"),
        ({"model": "a\0b"}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "a\0b"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "\0"}]}]}, "messages[0].content"),
        ({"tool_choice": "perhaps"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": FUNCTION | {"parameters": {"a": ["\0"]}}}]},
         "tools[0].function.parameters"),
        ({"tools": [{"type": "function", "function": FUNCTION | {"parameters": DEEP}}]},
         "tools[0].function.parameters"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"stream": "yes"}, "stream"),
    ],
)  # fmt: skip
async def test_what_cannot_be_used_is_named(client: httpx.AsyncClient, fields: dict[str, Any], param: str) -> None:
    response = await client.post("/chat/completions", json=ask(**fields))
    refused(response, 400, param)
    assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"a":NaN}'])
async def test_what_is_no_body_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/chat/completions", content=body, headers={"content-type": "application/json"})
    refused(response, 400, None)


async def test_what_is_not_known_is_ignored(client: httpx.AsyncClient) -> None:
    response = await client.post("/chat/completions", json=ask(user="u1", seed=7, n=None, logprobs=None, odd={"a": []}))
    assert response.status_code == 200, response.text
    assert response.json()["choices"][0]["message"]["content"] == "Hello there."
    assert response.json()["usage"] == {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


async def test_a_bare_model_is_asked_as_the_client_says(rooms: OpenAIRooms, client: httpx.AsyncClient) -> None:
    fields = {"temperature": 0.5, "max_completion_tokens": 9, "max_tokens": 8, "stop": "END", "tools": [TOOL]}
    assert (await client.post("/chat/completions", json=ask(**fields))).status_code == 200
    (request,) = rooms.model.requests
    assert request.messages == (Message("user", "Hello?"),)
    assert (request.temperature, request.max_tokens, request.stop) == (0.5, 9, ("END",))
    assert request.tools == (ToolSpec("f", "Does it.", {"type": "object"}),)
    assert request.caller == "203.0.113.7"
    assert rooms.opened == [("openai", "scripted-1", True)]  # nothing stands in for it


async def test_what_a_bare_model_takes_counts_for_who_asks(rooms: OpenAIRooms, client: httpx.AsyncClient) -> None:
    for stream in (False, True):
        assert (await client.post("/chat/completions", json=ask(stream=stream))).status_code == 200
    rooms.principal = Principal("u1")
    assert (await client.post("/chat/completions", json=ask())).status_code == 200
    callers = ("203.0.113.7", "203.0.113.7", "user:u1")
    assert rooms.budgets.notes == [(caller, "scripted-1", Usage(10, 5), 1) for caller in callers]


async def test_texts_that_are_embedded_count_too_and_are_no_questions(
    rooms: OpenAIRooms, client: httpx.AsyncClient
) -> None:
    await client.post("/embeddings", json={"model": NAME, "input": ["a health factor", "staking"]})
    assert rooms.budgets.notes == [("203.0.113.7", NAME, Usage(6, 0), 0)]


async def test_who_has_nothing_left_of_the_day_is_told_when_to_come_back(
    rooms: OpenAIRooms, client: httpx.AsyncClient
) -> None:
    rooms.budgets.used_up = True
    for path, body in (
        ("/chat/completions", ask()), ("/chat/completions", ask(stream=True)),
        ("/embeddings", {"model": NAME, "input": "a"}),
    ):  # fmt: skip
        response = await client.post(path, json=body)
        refused(response, 429, None, "rate_limit_exceeded")
        assert (response.json()["error"]["type"], response.headers["retry-after"]) == ("rate_limit_error", "3600")
    assert (rooms.model.requests, rooms.budgets.notes) == ([], [])


async def test_its_tool_calls_are_handed_back() -> None:
    async with OpenAIRooms(calls(call("f", "call_1", a=1))).client() as client:
        (choice,) = (await client.post("/chat/completions", json=ask(tools=[TOOL]))).json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    ]


async def test_a_bare_model_that_is_away_is_told() -> None:
    rooms = OpenAIRooms(fails(ProviderUnavailable("The model cannot be reached.")))
    async with rooms.client() as client:
        refused(await client.post("/chat/completions", json=ask()), 503, None, "provider_unavailable")
    assert rooms.told == ["provider_unavailable"]


async def test_a_service_that_is_about_to_end_asks_no_model(rooms: OpenAIRooms, client: httpx.AsyncClient) -> None:
    rooms.runner.draining = True
    refused(await client.post("/chat/completions", json=ask()), 503, None, "shutting_down")


async def test_the_models_that_may_be_named_are_listed(client: httpx.AsyncClient) -> None:
    body = (await client.get("/models")).json()
    assert body["object"] == "list"
    assert [(model["id"], model["owned_by"]) for model in body["data"]] == [
        ("askgraph", "askgraph"), ("scripted-1", "openai"), ("scripted-2", "openai"), ("ollama/scripted-1", "ollama"),
        ("ollama/askgraph", "ollama"), (NAME, "askgraph"),
    ]  # fmt: skip


async def test_each_listed_model_is_found_by_its_name(client: httpx.AsyncClient) -> None:
    for model in (await client.get("/models")).json()["data"]:
        assert (await client.get(f"/models/{model['id']}")).json() == model


@pytest.mark.parametrize(
    ("name", "opened"),
    [
        ("scripted-2", ("openai", "scripted-2", True)),
        ("ollama/scripted-1", ("ollama", "scripted-1", True)),
        ("ollama/askgraph", ("ollama", "askgraph", True)),
        ("openai/scripted-1", ("openai", "scripted-1", True)),
    ],
)
async def test_a_name_leads_to_its_provider(
    rooms: OpenAIRooms, client: httpx.AsyncClient, name: str, opened: tuple[str, str, bool]
) -> None:
    assert (await client.post("/chat/completions", json=ask(model=name))).json()["model"] == name
    assert rooms.opened == [opened]


@pytest.mark.parametrize("name", ["nope", "nowhere/x", "extractive", "extractive/extractive", NAME, "a" * 256])
async def test_an_unknown_model_is_not_found(client: httpx.AsyncClient, name: str) -> None:
    refused(await client.post("/chat/completions", json=ask(model=name)), 404, "model", "model_not_found")
    if name != NAME:
        refused(await client.get(f"/models/{name}"), 404, "model", "model_not_found")


async def test_a_model_that_the_operators_patterns_allow_is_found() -> None:
    rooms = OpenAIRooms(patterns=("ollama/*", "nowhere/*"))
    async with rooms.client() as client:
        assert (await client.get("/models/ollama/qwen3:8b")).json()["id"] == "ollama/qwen3:8b"
        assert rooms.opened == [("ollama", "qwen3:8b", True)]
        assert (await client.get("/models/nowhere/x")).status_code == 404
        for none in ("", "a" * 257):
            refused(await client.get(f"/models/{none}"), 400, "model")


@pytest.mark.parametrize("given", ["a health factor", ["a health factor", "staking"]])
async def test_texts_are_embedded(client: httpx.AsyncClient, given: str | list[str]) -> None:
    response = await client.post("/embeddings", json={"model": NAME, "input": given, "dimensions": 256})
    body = EmbeddingListBody.model_validate_json(response.content)
    assert [item.index for item in body.data] == list(range(1 if isinstance(given, str) else 2))
    assert np.linalg.norm(np.asarray(body.data[0].embedding)) == pytest.approx(1.0, abs=1e-5)
    assert body.usage.prompt_tokens == body.usage.total_tokens == (4 if isinstance(given, str) else 6)


async def test_vectors_in_base64_are_the_same(client: httpx.AsyncClient) -> None:
    bodies = [
        (await client.post("/embeddings", json={"model": NAME, "input": "staking", **more})).json()
        for more in ({}, {"encoding_format": "base64"})
    ]
    plain, packed = (body["data"][0]["embedding"] for body in bodies)
    assert np.array_equal(np.frombuffer(base64.b64decode(packed), "<f4"), np.asarray(plain, np.float32))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": [1, 2]}, "input"),
        ({"input": [[1, 2]]}, "input"),
        ({"input": []}, "input"),
        ({"input": ""}, "input[0]"),
        ({"input": ["a", 7]}, "input[1]"),
        ({"input": "a" * 32_001}, "input[0]"),
        ({"input": ["a"] * 257}, "input"),
        ({"input": "a\0b"}, "input[0]"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": 7}, "dimensions"),
        ({"dimensions": 0}, "dimensions"),
    ],
)
async def test_what_cannot_be_embedded_is_named(client: httpx.AsyncClient, fields: dict[str, Any], param: str) -> None:
    body = {"model": NAME, "input": "a"} | fields
    refused(await client.post("/embeddings", json=body), 400, param)


async def test_only_the_model_that_serves_embeds(client: httpx.AsyncClient) -> None:
    body = {"model": "askgraph", "input": "a"}
    refused(await client.post("/embeddings", json=body), 404, "model", "model_not_found")


async def test_while_no_model_is_to_be_had_nothing_embeds() -> None:
    async with OpenAIRooms(embeddings=Embeddings(WordsOnly())).client() as client:
        body = {"model": "words", "input": "a"}
        refused(await client.post("/embeddings", json=body), 404, "model", "model_not_found")
        assert "words" not in [model["id"] for model in (await client.get("/models")).json()["data"]]


async def test_other_paths_and_methods_have_openais_shape_too(client: httpx.AsyncClient) -> None:
    refused(await client.get("/nowhere"), 404, None, "not_found")
    refused(await client.get("/chat/completions"), 405, None, "method_not_allowed")
