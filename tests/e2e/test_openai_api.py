"""The service as a model: OpenAI's own SDK, LangChain's ChatOpenAI and curl work against it as they are."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import openai
import pytest
import pytest_asyncio
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from openai import AsyncOpenAI

from tests.e2e.service import ROOT, Service
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETTINGS = {"PROVIDER_MAX_RETRIES": 0}
QUESTION = "What is a liquidation threshold?"
EMBEDDER = "wordllama-l2-supercat-256"
TOOL: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


def user(content: str = QUESTION) -> Any:
    return [{"role": "user", "content": content}]


def sdk(service: Service, **options: Any) -> AsyncOpenAI:
    known = {"base_url": f"{service.url}/v1", "api_key": "sk-made-up", "max_retries": 0, "timeout": 30}
    return AsyncOpenAI(**(known | options))


@pytest_asyncio.fixture(loop_scope="module")
async def client(shared: Service, scripted: ModelServer) -> AsyncIterator[AsyncOpenAI]:
    async with sdk(shared) as client:
        yield client


async def test_the_sdk_gets_a_cited_answer(embedded: Service) -> None:
    async with sdk(embedded) as client:
        answer = await client.chat.completions.create(model="askgraph", messages=user())
    (choice,) = answer.choices
    assert UUID(answer.id.removeprefix("chatcmpl-")).version == 7
    assert (answer.object, answer.model, answer.system_fingerprint) == ("chat.completion", "askgraph", None)
    assert (choice.message.role, choice.finish_reason) == ("assistant", "stop")
    assert choice.message.annotations
    cited: Any = [note.model_dump(exclude_unset=True)["file_citation"] for note in choice.message.annotations]
    for citation in cited:
        assert f"[{citation['id']}]" in (choice.message.content or "")
        if citation["document"].endswith(".md"):
            text = (ROOT / "knowledge" / citation["document"]).read_text()
            assert text[citation["start"] : citation["end"]] == citation["quote"]


async def test_the_sdk_streams_words_as_they_come(client: AsyncOpenAI, scripted: ModelServer) -> None:
    gate = scripted.gate()
    scripted.tokens(["It ", "is ", "a value."], gate=gate)
    gate.release()
    stream = await client.chat.completions.create(
        model="askgraph", messages=user(), stream=True, stream_options={"include_usage": True}
    )
    assert (await anext(stream)).choices[0].delta.role == "assistant"
    assert (await anext(stream)).choices[0].delta.content == "It "
    gate.release()  # the second word is written when the first has been read
    assert (await anext(stream)).choices[0].delta.content == "is "
    gate.open()
    *words, last, used = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in words) == "a value."
    assert last.choices[0].finish_reason == "stop"
    assert (used.choices, used.usage and used.usage.total_tokens) == ([], 18)
    assert len({chunk.id for chunk in [*words, last, used]}) == 1


async def test_a_streams_last_delta_has_the_citations(embedded: Service) -> None:
    async with sdk(embedded) as client:
        stream = await client.chat.completions.create(model="askgraph", messages=user(), stream=True)
        chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    notes: Any = chunks[-1].choices[0].delta.model_extra
    assert [f"[{note['file_citation']['id']}]" in text for note in notes["annotations"]] != []


async def test_earlier_turns_are_the_conversation_and_nothing_is_kept(
    client: AsyncOpenAI, scripted: ModelServer
) -> None:
    turns: Any = [*user("Which is the largest exchange?"), {"role": "assistant", "content": "Uniswap."}]
    await client.chat.completions.create(model="askgraph", messages=[*turns, *user("And what does it charge?")])
    sent = [one for one in scripted.requests[0].body["messages"] if one["role"] != "system"]
    assert [one["content"] for one in sent[:2]] == ["Which is the largest exchange?", "Uniswap."]
    assert sent[2]["content"].endswith("And what does it charge?")
    await client.chat.completions.create(model="askgraph", messages=user(), temperature=0.5, max_completion_tokens=9)
    assert (scripted.requests[1].body["temperature"], scripted.requests[1].body["max_tokens"]) == (0.5, 9)
    assert len([one for one in scripted.requests[1].body["messages"] if one["role"] != "system"]) == 1


async def test_the_agents_model_is_told_where_to_stop_and_how_to_sample(
    client: AsyncOpenAI, scripted: ModelServer
) -> None:
    fields: Any = {"stop": ["END"], "top_p": 0.5, "seed": 7, "presence_penalty": 0.5, "reasoning_effort": "low"}
    await client.chat.completions.create(model="askgraph", messages=user(), **fields)
    assert {name: scripted.requests[0].body.get(name) for name in fields} == fields


async def test_system_messages_say_how_to_answer(client: AsyncOpenAI, scripted: ModelServer) -> None:
    rules: Any = [{"role": "system", "content": "Answer like a pirate."}, {"role": "developer", "content": "Briefly."}]
    await client.chat.completions.create(model="askgraph", messages=[*rules, *user()])
    first, *others = scripted.requests[0].body["messages"]
    assert first["role"] == "system"
    assert "Answer like a pirate.\n\nBriefly." in first["content"]
    assert [one["role"] for one in others] == ["user"]


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_the_agent_ends_before_a_stop_sequence_whatever_its_model_does(
    client: AsyncOpenAI, scripted: ModelServer, streamed: bool
) -> None:
    scripted.tokens(["It ", "is ", "a val", "ue. ", "And more."])
    asked: Any = {"model": "askgraph", "messages": user(), "stop": ["never", "value."]}
    if streamed:
        async with client.chat.completions.stream(**asked) as stream:
            choice: Any = (await stream.get_final_completion()).choices[0]
    else:
        choice = (await client.chat.completions.create(**asked)).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("It is a ", "stop")


async def test_what_is_cited_behind_the_stop_sequence_is_not_cited(embedded: Service) -> None:
    async with sdk(embedded) as client:
        whole: Any = (await client.chat.completions.create(model="askgraph", messages=user())).choices[0].message
        assert "[1]" in whole.content
        cut: Any = (
            await client.chat.completions.create(model="askgraph", messages=user(), stop=whole.content[1:9])
        ).choices[0]
    assert (cut.message.content, cut.finish_reason) == (whole.content[0], "stop")
    assert cut.message.annotations is None


async def test_a_run_can_be_read_under_its_id_by_other_ways(client: AsyncOpenAI, shared: Service) -> None:
    answer = await client.chat.completions.create(model="askgraph", messages=user())
    async with shared.client() as other:
        events = (await other.get(f"/runs/{answer.id.removeprefix('chatcmpl-')}/events")).text
    assert json.loads(events.strip().splitlines()[-1].removeprefix("data: "))["type"] == "complete"


@pytest.mark.parametrize("model", ["askgraph", "scripted"])
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_closing_the_connection_stops_the_model(
    model: str, streamed: bool, shared: Service, scripted: ModelServer
) -> None:
    scripted.hang(["It "])
    body = json.dumps({"model": model, "messages": user(), "stream": streamed}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", shared.port)
    length = f"Content-Length: {len(body)}\r\n".encode()
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + length + b"\r\n" + body
    )
    if streamed:
        await asyncio.wait_for(reader.readuntil(b'"It "'), 20)
    else:
        await asyncio.wait_for(scripted.asked(), 20)
    writer.close()
    closed = await asyncio.wait_for(scripted.closed(), 20)
    assert closed.request.body["messages"][-1]["content"].endswith(QUESTION)


async def test_the_sdk_closing_its_stream_stops_the_run(client: AsyncOpenAI, scripted: ModelServer) -> None:
    scripted.hang(["It "])
    stream = await client.chat.completions.create(model="askgraph", messages=user(), stream=True)
    await anext(stream)
    await stream.close()
    await asyncio.wait_for(scripted.closed(), 20)


async def test_a_bare_model_gets_what_the_client_sends_and_nothing_else(
    client: AsyncOpenAI, scripted: ModelServer
) -> None:
    scripted.reply("Hello.")
    answer = await client.chat.completions.create(
        model="scripted",
        messages=[{"role": "system", "content": "Be brief."}, *user("Hi")],
        temperature=0.5,
        max_tokens=9,
        stop=["END"],
    )
    assert (answer.choices[0].message.content, answer.model) == ("Hello.", "scripted")
    assert answer.choices[0].message.annotations is None
    assert answer.usage
    assert answer.usage.total_tokens == 18
    sent = scripted.requests[0].body
    assert sent["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert (sent["temperature"], sent["max_tokens"], sent["stop"]) == (0.5, 9, ["END"])
    assert "tools" not in sent


async def test_what_else_a_bare_model_is_told_is_passed_on(client: AsyncOpenAI, scripted: ModelServer) -> None:
    fields: Any = {
        "top_p": 0.5, "seed": 7, "presence_penalty": 0.5, "frequency_penalty": -0.5, "reasoning_effort": "low",
        "parallel_tool_calls": False, "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "tools": [TOOL | {"function": TOOL["function"] | {"strict": True}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
    }  # fmt: skip
    await client.chat.completions.create(model="scripted", messages=user(), **fields)
    assert {name: scripted.requests[0].body.get(name) for name in fields} == fields


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_a_bare_models_tool_calls_are_the_clients_to_run(
    client: AsyncOpenAI, scripted: ModelServer, streamed: bool
) -> None:
    scripted.tool_call("weather", {"city": "Oslo"}, text="Let me see. ")
    scripted.reply("It snows.")
    messages: Any = user("How is it in Oslo?")
    if streamed:
        async with client.chat.completions.stream(model="scripted", messages=messages, tools=[TOOL]) as stream:
            message = (await stream.get_final_completion()).choices[0].message
    else:
        answer = await client.chat.completions.create(model="scripted", messages=messages, tools=[TOOL])
        assert answer.choices[0].finish_reason == "tool_calls"
        message = answer.choices[0].message  # type: ignore[assignment]  # the stream's is the same with more
    assert message.content == "Let me see. "
    (call,) = message.tool_calls or ()
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Oslo"})
    done = {"role": "tool", "content": "-3", "tool_call_id": call.id}
    made = message.model_dump(include={"role", "content", "tool_calls"}, exclude_none=True)
    again = await client.chat.completions.create(model="scripted", messages=[*messages, made, done], tools=[TOOL])
    assert again.choices[0].message.content == "It snows."
    first, second = (request.body for request in scripted.requests)
    assert first["tools"][0]["function"]["parameters"] == TOOL["function"]["parameters"]
    assert second["messages"][2] == {"role": "tool", "content": "-3", "tool_call_id": call.id}
    assert second["messages"][1]["tool_calls"][0]["id"] == call.id


@pytest_asyncio.fixture(loop_scope="module")
async def options(shared: Service) -> AsyncIterator[dict[str, Any]]:
    """What LangChain's classes take; their connections are closed with the test."""
    async with httpx.AsyncClient(timeout=30) as http:
        yield {
            "base_url": f"{shared.url}/v1", "api_key": "sk-made-up", "max_retries": 0, "http_async_client": http,
        }  # fmt: skip


async def test_langchains_chat_model_works_as_it_is(options: dict[str, Any], scripted: ModelServer) -> None:
    scripted.tokens(["It ", "is ", "a value."])
    scripted.tool_call("weather", {"city": "Oslo"})
    chat = ChatOpenAI(model="askgraph", stream_usage=True, **options)
    chunks = [chunk async for chunk in chat.astream(QUESTION)]
    assert "".join(str(chunk.content) for chunk in chunks) == "It is a value."
    assert sum((chunk.usage_metadata or {}).get("total_tokens", 0) for chunk in chunks) == 18
    bare = ChatOpenAI(model="scripted", **options).bind_tools([TOOL])
    assert [call["args"] for call in (await bare.ainvoke("How is it in Oslo?")).tool_calls] == [{"city": "Oslo"}]


async def test_the_models_are_listed_and_embed(client: AsyncOpenAI, options: dict[str, Any]) -> None:
    names = [model.id async for model in client.models.list()]
    assert names == ["askgraph", "scripted", EMBEDDER]
    assert (await client.models.retrieve(EMBEDDER)).owned_by == "askgraph"
    told = await client.embeddings.create(model=EMBEDDER, input=["a health factor", "staking"])
    assert [len(item.embedding) for item in told.data] == [256, 256]
    langchain = OpenAIEmbeddings(model=EMBEDDER, check_embedding_ctx_length=False, **options)
    assert await langchain.aembed_query("staking") == pytest.approx(told.data[1].embedding)


async def test_errors_are_those_that_the_sdk_knows(client: AsyncOpenAI, scripted: ModelServer) -> None:
    with pytest.raises(openai.BadRequestError) as invalid:
        await client.chat.completions.create(model="askgraph", messages=user(), n=2)
    assert (invalid.value.param, invalid.value.type) == ("n", "invalid_request_error")
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.chat.completions.create(model="gpt-99", messages=user())
    assert (unknown.value.param, unknown.value.code) == ("model", "model_not_found")
    assert unknown.value.request_id == unknown.value.response.headers["x-request-id"]
    with pytest.raises(openai.AuthenticationError) as wrong:
        await client.with_options(api_key="ask_nobody").models.list()
    assert wrong.value.code == "invalid_api_key"
    with pytest.raises(openai.APIStatusError) as large:
        await client.chat.completions.create(model="scripted", messages=user("a" * 1_100_000))
    assert (large.value.status_code, large.value.code) == (413, "payload_too_large")
    scripted.status(503)
    with pytest.raises(openai.InternalServerError) as away:
        await client.chat.completions.create(model="scripted", messages=user())
    assert (away.value.status_code, away.value.code) == (503, "provider_unavailable")


async def test_what_breaks_in_the_middle_of_a_stream_is_an_error_of_the_sdks(
    client: AsyncOpenAI, scripted: ModelServer
) -> None:
    for model in ("askgraph", "scripted"):
        gate = scripted.gate()
        scripted.clear()
        scripted.cut(["It "], gate=gate)
        stream = await client.chat.completions.create(model=model, messages=user(), stream=True)
        assert (await anext(stream)).choices[0].delta.role == "assistant"
        gate.open()
        with pytest.raises(openai.APIError) as broken:
            async for _ in stream:
                pass
        assert broken.value.code == "provider_protocol_error"


async def test_curl_reads_the_stream(embedded: Service) -> None:
    body = json.dumps({"model": "askgraph", "messages": user(), "stream": True})
    process = await asyncio.create_subprocess_exec(
        "curl", "-sN", f"{embedded.url}/v1/chat/completions", "-H", "Content-Type: application/json", "-d", body,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    events = out.decode().removesuffix("\n\n").split("\n\n")
    assert events[-1] == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


async def test_the_vendors_sdk_is_not_loaded_to_serve_its_clients() -> None:
    code = "import sys, backend.routers.openai; sys.exit('openai' in sys.modules or 'langchain_openai' in sys.modules)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=ROOT)
    assert await process.wait() == 0
