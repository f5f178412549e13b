"""LangChain's chat models behind our port: the real ChatOpenAI over HTTP, and models that fail as they are told."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import ConfigDict, Field

from infrastructure.errors import ProviderError, ProviderProtocolError, ProviderRejected, ProviderUnavailable
from infrastructure.providers.langchain import LangChainProvider, finish_reason
from infrastructure.providers.langchain_loading import load_chat_model
from infrastructure.providers.retry import TryAgain
from infrastructure.providers.timeouts import Timeouts
from infrastructure.providers.types import Message, ModelRequest, ToolCall, Usage
from tests.infrastructure.providers.asking import SEARCH, Heard, question
from tests.model_server import ModelServer


@pytest.fixture
async def chat_model(server: ModelServer) -> AsyncIterator[BaseChatModel]:
    async with httpx.AsyncClient() as http:  # by default langchain_openai keeps one for the whole process
        yield load_chat_model(
            "langchain_openai:ChatOpenAI",
            base_url=server.url,
            api_key="sk-secret",
            model="scripted",
            max_retries=0,
            stream_usage=True,
            http_async_client=http,
        )


@pytest.fixture
def provider(chat_model: BaseChatModel) -> LangChainProvider:
    return LangChainProvider(chat_model)


class Scripted(BaseChatModel):
    """A chat model that gives chunks, or fails as it is told."""

    chunks: list[AIMessageChunk] = []  # noqa: RUF012 - pydantic copies a field's default
    fault: Any = None
    gap: float = 0.0

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self.chunks:
            await asyncio.sleep(self.gap)
            yield ChatGenerationChunk(message=chunk)
        if self.fault:
            raise self.fault


class Picky(Scripted):
    """One that takes nothing that it has no field for, and notes what each call gave it."""

    model_config = ConfigDict(extra="forbid")

    temperature: float = Field(0.0, alias="temper")
    seen: list[Any] = []  # noqa: RUF012 - as above

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        known = ("stop", "temperature", "max_tokens")
        self.seen.append({name: kwargs[name] for name in known if kwargs.get(name) is not None})
        yield ChatGenerationChunk(message=AIMessageChunk("x"))


async def test_an_answer_streams(server: ModelServer, provider: LangChainProvider) -> None:
    server.tokens(["A ", "pool ", "holds."])
    heard = Heard()
    reply = await provider.stream(question(), heard)
    assert heard == ["A ", "pool ", "holds."]
    assert (reply.text, reply.finish_reason, reply.model) == ("A pool holds.", "stop", "scripted")
    assert reply.usage == Usage(11, 7)
    assert provider.name == "langchain"
    await provider.aclose()


async def test_tools_go_out_and_calls_come_back(server: ModelServer, provider: LangChainProvider) -> None:
    server.tool_call("search", {"query": "pools"}, pieces=4)
    reply = await provider.stream(question(tools=(SEARCH,)), Heard())
    assert server.requests[0].body["tools"][0]["function"]["name"] == "search"
    assert reply.finish_reason == "tool_calls"
    assert [(call.id, call.name, json.loads(call.arguments)) for call in reply.tool_calls] == [
        ("call_1", "search", {"query": "pools"})
    ]


async def test_a_conversation_goes_out_as_it_is(server: ModelServer, provider: LangChainProvider) -> None:
    calls = (ToolCall("c1", "search", '{"query": "x"}'), ToolCall("c2", "search", "{broken"))
    messages = (
        Message("system", "be brief"),
        Message("user", "hi"),
        Message("assistant", "well", calls),
        Message("tool", "found", (), "c1"),
        Message("tool", "bad arguments", (), "c2"),
    )
    await provider.stream(ModelRequest(messages, "hi", max_tokens=5, temperature=0.25), Heard())
    body = server.requests[0].body
    assert body["temperature"] == 0.25
    assert 5 in (body.get("max_tokens"), body.get("max_completion_tokens"))
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "tool", "tool"]
    sent = {call["id"]: call["function"]["arguments"] for call in body["messages"][2]["tool_calls"]}
    assert (json.loads(sent["c1"]), sent["c2"]) == ({"query": "x"}, "{broken")
    assert body["messages"][3]["tool_call_id"] == "c1"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, ProviderRejected), (400, ProviderRejected), (429, ProviderUnavailable), (503, ProviderUnavailable)],
)
async def test_refusals_are_told_by_their_status(
    server: ModelServer, provider: LangChainProvider, status: int, kind: type[ProviderError]
) -> None:
    server.status(status, body={"error": {"message": "sk-secret"}})
    with pytest.raises(kind) as failed:
        await provider.stream(question(), Heard())
    assert "sk-secret" not in str(failed.value)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_may_pass_is_worth_another_try_which_is_not_langchains(
    server: ModelServer, provider: LangChainProvider, status: int
) -> None:
    server.status(status, {"retry-after": "7"})
    with pytest.raises(TryAgain) as failed:
        await provider.stream(question(), Heard())
    assert (failed.value.retry_after, len(server.requests)) == (7.0, 1)


async def test_after_the_first_chunk_nothing_is_tried_again() -> None:
    model = Scripted(chunks=[AIMessageChunk("so far")], fault=ConnectionResetError())
    with pytest.raises(ProviderUnavailable) as failed:
        await LangChainProvider(model).stream(question(), Heard())
    assert failed.value.said
    assert not isinstance(failed.value, TryAgain)


async def test_a_try_ends_with_its_deadline() -> None:
    slow = Scripted(chunks=[AIMessageChunk("x")], gap=5.0)
    deadline = asyncio.get_running_loop().time() + 0.05
    with pytest.raises(ProviderUnavailable, match="too long") as failed:
        await LangChainProvider(slow).stream(question(deadline=deadline), Heard())
    assert not failed.value.said


async def test_options_that_a_class_has_no_field_for_are_left_out() -> None:
    made = load_chat_model("tests.infrastructure.providers.test_langchain:Picky", temper=0.5, max_retries=0, model="x")
    assert isinstance(made, Picky)
    await LangChainProvider(made).stream(question(max_tokens=5, temperature=0.5, stop=("x",)), Heard())
    assert (made.temperature, made.seen) == (0.5, [{"stop": ["x"], "temperature": 0.5}])


async def test_stop_words_go_out(server: ModelServer, provider: LangChainProvider) -> None:
    await provider.stream(question(stop=("END",)), Heard())
    assert server.requests[0].body["stop"] == ["END"]


async def test_an_empty_account_is_a_refusal(server: ModelServer, provider: LangChainProvider) -> None:
    server.status(429, body={"error": {"message": "pay", "code": "insufficient_quota"}})
    with pytest.raises(ProviderRejected):
        await provider.stream(question(), Heard())


async def test_a_broken_chunk_is_a_breach_of_protocol(server: ModelServer, provider: LangChainProvider) -> None:
    server.body(b'data: {"choices":[{"index":0,"delta":{"content":"so far"}}]}\n\ndata: {"choi\n\n')
    heard = Heard()
    with pytest.raises(ProviderProtocolError):
        await provider.stream(question(), heard)
    assert heard.text == "so far"


async def test_an_endpoint_that_is_not_there_is_unavailable(server: ModelServer, provider: LangChainProvider) -> None:
    server.stop_listening()
    with pytest.raises(ProviderUnavailable):
        await provider.stream(question(), Heard())


async def test_stopping_closes_the_connection(server: ModelServer, provider: LangChainProvider) -> None:
    server.hang(["so far"])
    heard = Heard()
    answering = asyncio.create_task(provider.stream(question(), heard))
    await heard.until(bool)
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    async with asyncio.timeout(30):
        await server.closed()


@pytest.mark.parametrize(
    ("times", "verdict"),
    [
        (Timeouts(first_event=0.05), "did not begin"),
        (Timeouts(total=0.05), "too long"),
    ],
)
async def test_it_has_its_time_and_no_more(times: Timeouts, verdict: str) -> None:
    slow = Scripted(chunks=[AIMessageChunk("x")], gap=5.0)
    with pytest.raises(ProviderUnavailable, match=verdict):
        await LangChainProvider(slow, timeouts=times).stream(question(), Heard())


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (RuntimeError("secret"), ProviderUnavailable),
        (ConnectionResetError(), ProviderUnavailable),
        (TimeoutError(), ProviderUnavailable),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), ProviderProtocolError),
        (ProviderRejected("ours"), ProviderRejected),
    ],
)
async def test_whatever_it_raises_becomes_an_error_of_ours(fault: Exception, kind: type[ProviderError]) -> None:
    model = Scripted(chunks=[AIMessageChunk("so far")], fault=fault)
    heard = Heard()
    with pytest.raises(kind) as failed:
        await LangChainProvider(model).stream(question(), heard)
    assert heard.text == "so far"
    assert "secret" not in str(failed.value)


async def test_a_failing_emit_is_not_the_models_fault() -> None:
    def emit(text: str) -> None:
        raise TimeoutError(text)

    with pytest.raises(TimeoutError):
        await LangChainProvider(Scripted(chunks=[AIMessageChunk("x")])).stream(question(), emit)


async def test_blocks_of_content_are_read_as_their_text() -> None:
    blocks: list[str | dict[str, Any]] = [{"type": "text", "text": "a pool", "index": 0}]
    ending = AIMessageChunk("", response_metadata={"stop_reason": "max_tokens"})
    reply = await LangChainProvider(Scripted(chunks=[AIMessageChunk(blocks), ending])).stream(question(), Heard())
    assert (reply.text, reply.finish_reason) == ("a pool", "length")
    assert reply.usage.completion_tokens == 2


async def test_an_answer_has_a_limit() -> None:
    model = Scripted(chunks=[AIMessageChunk("x" * 60)] * 2)
    with pytest.raises(ProviderProtocolError):
        await LangChainProvider(model, max_answer=100).stream(question(), Heard())


async def test_any_chat_model_will_do() -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("hello from a fake")]))
    provider = LangChainProvider(model, name="fake")
    reply = await provider.stream(question(), Heard())
    assert (reply.text, reply.model, provider.name) == ("hello from a fake", "fake", "fake")


@pytest.mark.parametrize("path", ["", "langchain_openai", "nowhere:Model", "json:JSONDecoder", "json:nothing", ":x"])
def test_what_is_no_chat_model_is_not_loaded(path: str) -> None:
    with pytest.raises(ValueError, match="chat model"):
        load_chat_model(path)


def test_reasons_to_finish_become_openais_words() -> None:
    assert finish_reason({"stop_reason": "tool_use"}) == "tool_calls"
    assert finish_reason({"done_reason": "stop"}) == "stop"
    assert finish_reason({}) is None
