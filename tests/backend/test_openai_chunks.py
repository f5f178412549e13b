"""Completions are written as OpenAI writes them."""

import json
from typing import Any

import pytest

from backend.openai_answers import Ending, run_finish_reason
from backend.openai_chunks import DONE, Chunks, error_event, whole
from backend.schemas.openai_answers import CompletionBody
from infrastructure.errors import InvalidInput, ProviderUnavailable
from infrastructure.providers.types import ToolCall, Usage
from tests.agents.fakes import call

CITATION = {
    "id": 1, "document": "a.md", "document_id": "d", "chunk_id": "c", "start": 0, "end": 3, "quote": "abc",
    "score": 1.0,
}  # fmt: skip
ENDING = Ending("stop", Usage(3, 4), [CITATION])
HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "askgraph"}


def events(data: bytes) -> list[Any]:
    assert data.endswith(b"\n\n")
    return [json.loads(event.removeprefix("data: ")) for event in data.decode().split("\n\n")[:-1]]


def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return HEAD | {"system_fingerprint": None, "choices": [choice]}


def test_a_stream_is_the_role_the_words_and_the_end() -> None:
    chunks = Chunks("chatcmpl-1", 7, "askgraph", with_usage=False)
    data = chunks.first() + chunks.text('A "quoted" \u2028 word ') + chunks.last(ENDING)
    assert data.endswith(DONE)
    assert events(data.removesuffix(DONE)) == [
        chunk({"role": "assistant", "content": "", "refusal": None}),
        chunk({"content": 'A "quoted" \u2028 word '}),
        chunk({"annotations": [{"type": "file_citation", "file_citation": CITATION}]}, "stop"),
    ]


def test_what_was_used_comes_last_where_it_was_asked_for() -> None:
    chunks = Chunks("chatcmpl-1", 7, "askgraph", with_usage=True)
    *others, last = events((chunks.first() + chunks.text("a") + chunks.last(ENDING)).removesuffix(DONE))
    assert [event["usage"] for event in others] == [None, None, None]
    assert (last["choices"], last["usage"]) == ([], {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7})


def test_tool_calls_are_streamed_with_their_places() -> None:
    calls = [call("f", "call_1", a=1), call("g", "call_2")]
    chunks = Chunks("chatcmpl-1", 7, "m", with_usage=False)
    first, last = events(chunks.last(Ending("tool_calls", Usage(), tool_calls=calls)).removesuffix(DONE))
    assert first["choices"][0]["delta"]["tool_calls"] == [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"index": 1, "id": "call_2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "tool_calls")


@pytest.mark.parametrize(
    ("ending", "text", "content"),
    [
        (ENDING, "abc [1]", "abc [1]"),
        (Ending("stop", Usage()), "", ""),
        (Ending("tool_calls", Usage(), tool_calls=[ToolCall("call_1", "f", "{}")]), "", None),
    ],
)
def test_a_whole_answer_is_as_the_description_says(ending: Ending, text: str, content: str | None) -> None:
    body = CompletionBody.model_validate_json(whole("chatcmpl-1", 7, "askgraph", text, ending))
    message = body.choices[0].message
    assert message.content == content
    assert len(message.annotations or ()) == len(ending.citations)
    assert len(message.tool_calls or ()) == len(ending.tool_calls)


@pytest.mark.parametrize(
    ("reason", "word"),
    [("stop", "stop"), ("length", "length"), ("budget_seconds", "length"), ("tool_calls", "stop"), ("odd", "stop")],
)
def test_a_budget_that_was_used_up_is_a_length(reason: str, word: str) -> None:
    assert run_finish_reason(reason) == word


def test_an_error_in_a_stream_has_openais_shape() -> None:
    (told,) = events(error_event(ProviderUnavailable("The model is away.")))
    assert told == {
        "error": {
            "message": "The model is away.",
            "type": "server_error",
            "param": None,
            "code": "provider_unavailable",
        }
    }
    (told,) = events(error_event(InvalidInput("No.")))
    assert told["error"]["type"] == "invalid_request_error"
