"""What the lean client does with an endpoint that behaves."""

import asyncio
import json
from dataclasses import replace

import pytest

from infrastructure.errors import InvalidInput
from infrastructure.providers.guarded import GuardedModel
from infrastructure.providers.openai import OpenAIProvider
from infrastructure.providers.types import Message, ToolCall, ToolSpec, Usage
from tests.infrastructure.providers.asking import SEARCH, Heard, question
from tests.infrastructure.providers.conftest import MakeProvider
from tests.model_server import ModelServer
from tests.model_wire import STREAM_HEAD


async def test_an_answer_is_given_on_as_it_is_written(server: ModelServer, provider: GuardedModel) -> None:
    gate = server.gate()
    server.tokens(["A ", "pool ", "of funds."], gate=gate)
    heard = Heard()
    answering = asyncio.create_task(provider.stream(question(), heard))
    for count, token in enumerate(["A ", "pool ", "of funds."], 1):
        gate.release()
        await heard.until(lambda heard: len(heard) == count)  # noqa: B023 - it is awaited within the turn
        assert heard[-1] == token
    reply = await answering
    assert reply.text == heard.text == "A pool of funds."
    assert (reply.finish_reason, reply.model, reply.tool_calls) == ("stop", "scripted", ())
    assert reply.usage == Usage(11, 7)


async def test_what_arrives_in_one_read_goes_out_in_one_call(server: ModelServer, provider: GuardedModel) -> None:
    events = b"".join(b'data: {"choices":[{"delta":{"content":"w%d "}}]}\n\n' % n for n in range(9))
    server.body(events + b"data: [DONE]\n\n")
    heard = Heard()
    await provider.stream(question(), heard)
    assert heard == ["w0 w1 w2 w3 w4 w5 w6 w7 w8 "]


async def test_the_request_says_all_that_the_endpoint_needs(server: ModelServer, provider: GuardedModel) -> None:
    call = ToolCall("call_9", "search", '{"query":"x"}')
    messages = (Message("user", "hi"), Message("assistant", "", (call,)), Message("tool", "found", (), "call_9"))
    request = replace(question(tools=(SEARCH,)), messages=messages, max_tokens=9, temperature=0.5)
    await provider.stream(request, Heard())
    await provider.stream(request, Heard())
    sent = server.requests[1]
    assert sent.headers["authorization"] == "Bearer sk-secret"
    assert sent.headers["content-type"] == "application/json"
    assert sent.path == "/v1/chat/completions"
    assert sent.body == {
        "model": "scripted",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 9,
        "temperature": 0.5,
        "messages": [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "call_9", "type": "function", "function": {"name": "search", "arguments": '{"query":"x"}'}}
                ],
            },
            {"role": "tool", "content": "found", "tool_call_id": "call_9"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "search",
                    "description": "Search the knowledge.",
                    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
                },
            }
        ],
    }


async def test_without_a_key_none_is_sent(server: ModelServer, make_provider: MakeProvider) -> None:
    await make_provider(api_key=None).stream(question(), Heard())
    assert "authorization" not in server.requests[0].headers
    assert "max_tokens" not in server.requests[0].body


async def test_a_token_that_expires_is_asked_for_at_every_call(
    server: ModelServer, make_provider: MakeProvider
) -> None:
    tokens = iter(["one", "two"])

    async def token() -> str:
        return next(tokens)

    provider = make_provider(api_key=token)
    await provider.stream(question(), Heard())
    await provider.stream(question(), Heard())
    assert [sent.headers["authorization"] for sent in server.requests] == ["Bearer one", "Bearer two"]


async def test_connections_are_used_again(server: ModelServer, provider: GuardedModel) -> None:
    for _ in range(5):
        await provider.stream(question(), Heard())
    assert server.connected == 1


async def test_many_streams_run_at_once(server: ModelServer, provider: GuardedModel) -> None:
    gate = server.gate()
    server.tokens(["a", "b"], gate=gate)
    answers = [asyncio.create_task(provider.stream(question(), Heard())) for _ in range(50)]
    await server.asked(50)
    assert server.open_streams == 50
    gate.open()
    assert {reply.text for reply in await asyncio.gather(*answers)} == {"ab"}


async def test_characters_cut_in_two_by_the_network_are_whole(server: ModelServer, provider: GuardedModel) -> None:
    text = "Zürich, 東京 😀"
    event = f"data: {json.dumps({'choices': [{'delta': {'content': text}}]}, ensure_ascii=False)}\n\n".encode()
    server.body(*(event[n : n + 1] for n in range(len(event))), b"data: [DONE]\n\n")
    assert (await provider.stream(question(), Heard())).text == text


async def test_every_lawful_way_to_write_a_stream_is_read(server: ModelServer, provider: GuardedModel) -> None:
    server.body(
        b": a comment\r\nevent: message\r\nid: 4\r\nretry: 5\r\n",
        b'data:{"choices":[{"delta":{"role":"assistant","content":""}}]}\r\n\r\n',
        b'data:  {"choices":[{"delta":{"content":"yes","refusal":null}}],"error":null,"usage":null}\r\n\r\n',
        b"data:\n\n",
        b'data: {"choices":[]}\n\ndata: {"choices":[{"delta":null,"finish_reason":"length"}]}\n\n',
        b"data:[DONE]",
    )
    reply = await provider.stream(question(), Heard())
    assert (reply.text, reply.finish_reason) == ("yes", "length")


async def test_tokens_are_estimated_where_they_are_not_counted(server: ModelServer, provider: GuardedModel) -> None:
    server.body(b'data: {"choices":[{"delta":{"content":"123456789"},"finish_reason":"stop"}],"usage":null}\n\n')
    reply = await provider.stream(question("12345678"), Heard())
    assert reply.usage == Usage(prompt_tokens=8, completion_tokens=3)


@pytest.mark.parametrize(
    "usage", ["[1]", '{"prompt_tokens":-1,"completion_tokens":2}', '{"prompt_tokens":true}', '{"prompt_tokens":"5"}']
)
async def test_a_nonsense_usage_is_not_believed(server: ModelServer, provider: GuardedModel, usage: str) -> None:
    server.body(b'data: {"choices":[{"delta":{"content":"1234"}}],"usage":%s}\n\ndata: [DONE]\n\n' % usage.encode())
    assert (await provider.stream(question(), Heard())).usage.completion_tokens == 1


async def test_a_finish_reason_is_enough_of_an_end(server: ModelServer, provider: GuardedModel) -> None:
    server.body(b'data: {"choices":[{"delta":{"content":"so"},"finish_reason":"stop"}]}\n\n')
    assert (await provider.stream(question(), Heard())).text == "so"


async def test_a_connection_that_breaks_after_the_finish_reason_does_no_harm(
    server: ModelServer, provider: GuardedModel
) -> None:
    event = b'data: {"choices":[{"delta":{"content":"so"},"finish_reason":"stop"}]}\n\n'
    server.raw(STREAM_HEAD + b"%x\r\n%s\r\n" % (len(event), event))
    assert (await provider.stream(question(), Heard())).text == "so"


@pytest.mark.parametrize("last", [b"", b"data: [DONE]\n\n"])
async def test_an_endpoint_that_does_not_let_go_after_the_end_is_let_go(
    server: ModelServer, provider: GuardedModel, last: bytes
) -> None:
    event = b'data: {"choices":[{"delta":{"content":"so"},"finish_reason":"stop"}]}\n\n' + last
    server.raw(STREAM_HEAD + b"%x\r\n%s\r\n" % (len(event), event), close=False)
    assert (await provider.stream(question(), Heard())).text == "so"
    await server.closed()


async def test_a_plain_answer_to_a_stream_request_is_taken_whole(server: ModelServer, provider: GuardedModel) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    message = {"role": "assistant", "content": "whole", "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    server.status(200, body={"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
    heard = Heard()
    reply = await provider.stream(question(), heard)
    assert heard == ["whole"]
    assert reply.tool_calls == (ToolCall("c1", "search", "{}"),)
    assert reply.usage == Usage(1, 2)


async def test_tool_calls_come_with_all_their_arguments(server: ModelServer, provider: GuardedModel) -> None:
    server.tool_call("search", {"query": "pools of funds"}, text="Let me look.", pieces=5)
    heard = Heard()
    reply = await provider.stream(question(tools=(SEARCH,)), heard)
    assert heard.text == "Let me look."
    assert reply.finish_reason == "tool_calls"
    assert [(call.id, call.name, json.loads(call.arguments)) for call in reply.tool_calls] == [
        ("call_1", "search", {"query": "pools of funds"})
    ]


async def test_a_prompt_of_megabytes_is_sent(server: ModelServer, provider: GuardedModel) -> None:
    await provider.stream(question("x" * (2 << 20)), Heard())
    assert len(server.requests[0].body["messages"][1]["content"]) == 2 << 20


async def test_a_lone_surrogate_in_a_question_is_no_failure(server: ModelServer, provider: GuardedModel) -> None:
    call = ToolCall("c", "search", "\udc00")
    request = question("what is \ud800?")
    request = replace(request, messages=(*request.messages, Message("assistant", "", (call,))))
    await provider.stream(request, Heard())
    assert server.requests[0].body["messages"][1]["content"] == "what is ??"


async def test_a_tool_whose_schema_is_not_json_is_named_a_mistake_of_ours(provider: GuardedModel) -> None:
    with pytest.raises(InvalidInput):
        await provider.stream(question(tools=(ToolSpec("bad", "", {"default": object()}),)), Heard())


async def test_each_set_of_tools_is_sent_as_it_is(server: ModelServer, provider: GuardedModel) -> None:
    for number in range(20):
        await provider.stream(question(tools=(ToolSpec(f"tool{number}", "", {}),)), Heard())
    assert [sent.body["tools"][0]["function"]["name"] for sent in server.requests] == [f"tool{n}" for n in range(20)]


@pytest.mark.parametrize("url", ["ftp://host/v1", "localhost:9000", "http:///v1", ""])
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base URL"):
        OpenAIProvider(base_url=url, api_key=None, model="m")


@pytest.mark.parametrize("key", ["sk\nx: y", "schlüssel"])
def test_a_key_that_cannot_stand_in_a_header_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ValueError, match="printable") as refused:
        OpenAIProvider(base_url="http://127.0.0.1/v1", api_key=key, model="m")
    assert key not in str(refused.value)


async def test_closing_twice_or_unused_is_harmless(provider: GuardedModel) -> None:
    await provider.aclose()
    await provider.stream(question(), Heard())
    await provider.aclose()
    await provider.aclose()
    assert provider.name == "openai"
