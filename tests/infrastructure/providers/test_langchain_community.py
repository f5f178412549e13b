"""A real chat model of `langchain-community`, which is sunset: its models work where it is installed."""

import asyncio
import json
import warnings
from collections.abc import Iterator

import pytest
from langchain_core.messages import AIMessageChunk

from infrastructure.errors import ProviderError, ProviderProtocolError, ProviderRejected, ProviderUnavailable
from infrastructure.providers.langchain import LangChainProvider
from infrastructure.providers.langchain_loading import NoChatModel, load_chat_model
from infrastructure.providers.retry import TryAgain
from infrastructure.providers.types import Message, ModelRequest, ToolCall
from tests.infrastructure.providers.asking import SEARCH, Heard, question
from tests.infrastructure.providers.test_langchain import Scripted
from tests.model_server import ModelServer

BAICHUAN = "langchain_community.chat_models:ChatBaichuan"


@pytest.fixture(scope="module", autouse=True)
def _sunset() -> Iterator[None]:
    """Importing it for the first time says that nobody looks after it any more: known, and nothing else is let by."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`langchain-community` is being sunset", DeprecationWarning)
        yield


@pytest.fixture
def provider(server: ModelServer) -> LangChainProvider:
    made = load_chat_model(BAICHUAN, base_url=f"{server.url}/chat/completions", api_key="sk-secret", model="scripted",
                           max_retries=0)  # fmt: skip
    return LangChainProvider(made)


async def test_an_answer_streams(server: ModelServer, provider: LangChainProvider) -> None:
    server.tokens(["A ", "pool ", "holds."])
    heard = Heard()
    reply = await provider.stream(question(temperature=0.25), heard)
    assert heard == ["A ", "pool ", "holds."]
    assert (reply.text, reply.finish_reason, reply.model) == ("A pool holds.", "stop", "scripted")
    assert reply.usage.completion_tokens == 4  # of 13 characters: it does not count
    sent = server.requests[0]
    assert [message["role"] for message in sent.body["messages"]] == ["system", "user"]
    assert (sent.body["stream"], sent.body["temperature"], sent.body["model"]) == (True, 0.25, "scripted")
    assert sent.headers["authorization"] == "Bearer sk-secret"


async def test_a_conversation_with_tools_goes_out_as_it_is(server: ModelServer, provider: LangChainProvider) -> None:
    turns = (
        Message("user", "hi"),
        Message("assistant", "", (ToolCall("c1", "search", '{"query": "x"}'),)),
        Message("tool", "found", (), "c1"),
    )
    await provider.stream(ModelRequest(turns, "hi", tools=(SEARCH,)), Heard())
    body = server.requests[0].body
    assert body["tools"][0]["function"]["name"] == "search"
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool"]
    assert json.loads(body["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {"query": "x"}
    assert body["messages"][2]["tool_call_id"] == "c1"


async def test_calls_that_the_integration_loses_are_a_fault_and_no_empty_answer(
    server: ModelServer, provider: LangChainProvider
) -> None:
    server.tool_call("search", {"query": "pools"})
    with pytest.raises(ProviderProtocolError, match="did not come through"):
        await provider.stream(question(tools=(SEARCH,)), Heard())


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


async def test_what_it_raises_is_told_without_a_secret(server: ModelServer, provider: LangChainProvider) -> None:
    server.status(401, body={"error": {"message": "sk-secret is wrong"}})
    server.body(b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"so far"}}]}\n\ndata: {"choi\n\n')
    refused, broken = [await failing(provider) for _ in range(2)]
    server.stop_listening()
    away = await failing(provider)
    assert [type(error) for error in (refused, broken, away)] == [
        ProviderUnavailable, ProviderProtocolError, TryAgain
    ]  # fmt: skip  # it does not tell its callers the status
    assert [error.said for error in (refused, broken, away)] == [False, True, False]
    assert "sk-secret" not in f"{refused} {broken} {away}"


async def failing(provider: LangChainProvider) -> ProviderError:
    with pytest.raises(ProviderError) as failed:
        await provider.stream(question(), Heard())
    return failed.value


async def test_the_status_that_an_http_clients_error_carries_is_read() -> None:
    class Answer:
        status_code = 402

    class HttpStatus(Exception):
        response = Answer()

    with pytest.raises(ProviderRejected):
        await LangChainProvider(Scripted(fault=HttpStatus())).stream(question(), Heard())


class Unmade(Scripted):
    """One whose vendor's package is not there."""

    def __init__(self, **fields: object) -> None:
        raise ImportError("Could not import vendor python package. Please install it with `pip install vendor-sdk`.")


class Strange(Scripted):
    """One that fails in its own way as it is made."""

    model: str = ""

    def __init__(self, **fields: object) -> None:
        raise ImportError("no reason") if fields.get("model") == "x" else RuntimeError(f"{fields}")


HERE = "tests.infrastructure.providers.test_langchain_community"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("langchain_nowhere.chat:Chat", "needs langchain_nowhere, which is not installed. Install it: pip install "
                                        "langchain-nowhere"),
        (f"{HERE}:Unmade", "needs a package that is not installed. Install it: pip install vendor-sdk"),
        ("langchain_community.chat_models:ChatTongyi", "cannot be made: look at DASHSCOPE_API_KEY"),
        (f"{HERE}:Strange", "cannot be made: RuntimeError"),
    ],
)  # fmt: skip
def test_one_that_cannot_be_had_says_what_it_wants(path: str, said: str) -> None:
    with pytest.raises(NoChatModel) as failed:
        load_chat_model(path, base_url="http://canary", model="canary", max_retries=0)
    assert str(failed.value) == f"the chat model {path} {said}"


def test_an_import_that_fails_for_no_told_reason_is_told_as_that() -> None:
    with pytest.raises(NoChatModel, match="Strange cannot be imported: ImportError"):
        load_chat_model(f"{HERE}:Strange", model="x")


async def test_a_chunk_of_a_community_model_may_have_no_text() -> None:
    model = Scripted(chunks=[AIMessageChunk(""), AIMessageChunk("x")])
    heard = Heard()
    reply = await LangChainProvider(model).stream(ModelRequest(question().messages, "q"), heard)
    assert (heard, reply.text) == (["x"], "x")
