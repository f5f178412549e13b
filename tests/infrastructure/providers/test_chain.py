"""When one model fails the next one answers, unless the first had begun to."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from infrastructure.errors import InvalidInput, ProviderError, ProviderRejected, ProviderUnavailable
from infrastructure.providers.chain import FallbackModel
from infrastructure.providers.types import ToolSpec
from tests.infrastructure.providers.asking import Heard, question
from tests.infrastructure.providers.conftest import MakeProvider
from tests.model_server import ModelServer


@pytest.fixture
async def second() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture
async def third() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture
async def chain(
    make_provider: MakeProvider, server: ModelServer, second: ModelServer, third: ModelServer
) -> AsyncIterator[FallbackModel]:
    first, *others = (
        make_provider(base_url=far_end.url, name=name, model=f"{name}-model")
        for name, far_end in (("openai", server), ("ollama", second), ("local", third))
    )
    async with AsyncExitStack() as stack:
        chain = FallbackModel(first, others, 2)
        stack.push_async_callback(chain.aclose)
        yield chain


class Told(list[tuple[str, str]]):
    def __call__(self, provider: str, model: str) -> None:
        self.append((provider, model))


async def test_the_first_answers_when_it_can(chain: FallbackModel, server: ModelServer, second: ModelServer) -> None:
    server.reply("I am here.")
    told = Told()
    reply = await chain.stream(question(taken_over=told), Heard())
    assert (reply.text, reply.model, told, second.requests) == ("I am here.", "openai-model", [], [])
    assert (chain.name, chain.model) == ("openai", "openai-model")
    assert chain.names == ("openai/openai-model", "ollama/ollama-model", "local/local-model")


@pytest.mark.parametrize("status", [503, 401, 404, 429])
async def test_the_next_answers_when_one_fails_and_it_is_told_before(
    chain: FallbackModel, server: ModelServer, second: ModelServer, status: int
) -> None:
    server.status(status)
    second.reply("I stand in.")
    told, heard = Told(), Heard()
    reply = await chain.stream(question(taken_over=told), heard)
    assert (reply.text, reply.model, heard.text) == ("I stand in.", "ollama-model", "I stand in.")
    assert told == [("ollama", "ollama-model")]


async def test_all_share_the_retries_of_one_call(
    chain: FallbackModel, server: ModelServer, second: ModelServer, third: ModelServer
) -> None:
    for far_end in (server, second, third):
        far_end.status(503)
    told = Told()
    with pytest.raises(ProviderUnavailable):
        await chain.stream(question(taken_over=told), Heard())
    assert [len(far_end.requests) for far_end in (server, second, third)] == [3, 1, 1]
    assert [provider for provider, _ in told] == ["ollama", "local"]


async def test_what_the_first_did_not_use_up_is_the_nexts(
    chain: FallbackModel, server: ModelServer, second: ModelServer
) -> None:
    server.status(401)
    second.status(503)
    second.status(503)
    second.reply("at last")
    assert (await chain.stream(question(), Heard())).text == "at last"
    assert [len(far_end.requests) for far_end in (server, second)] == [1, 3]


async def test_when_all_fail_the_one_that_was_asked_for_is_told_of(
    chain: FallbackModel, server: ModelServer, second: ModelServer, third: ModelServer
) -> None:
    server.status(429, {"retry-after": "77"})
    second.status(404)
    third.status(400)
    with pytest.raises(ProviderUnavailable) as failed:
        await chain.stream(question(), Heard())
    assert failed.value.retry_after == 77.0


async def test_after_the_first_token_the_error_goes_up(
    chain: FallbackModel, server: ModelServer, second: ModelServer
) -> None:
    server.cut(["so far "])
    heard = Heard()
    with pytest.raises(ProviderError) as failed:
        await chain.stream(question(), heard)
    assert (heard.text, failed.value.said, second.requests) == ("so far ", True, [])


async def test_so_it_does_after_the_first_token_of_one_that_stands_in(
    chain: FallbackModel, server: ModelServer, second: ModelServer, third: ModelServer
) -> None:
    server.status(401)
    second.cut(["so far "])
    heard = Heard()
    with pytest.raises(ProviderError) as failed:
        await chain.stream(question(), heard)
    assert (heard.text, failed.value.said, third.requests) == ("so far ", True, [])


async def test_a_tool_call_that_broke_off_was_not_said(
    chain: FallbackModel, server: ModelServer, second: ModelServer
) -> None:
    server.body(b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}\n\n')
    second.reply("I stand in.")
    assert (await chain.stream(question(), Heard())).text == "I stand in."


async def test_an_answer_that_was_begun_before_is_not_gone_on_with_by_another(
    chain: FallbackModel, server: ModelServer, second: ModelServer
) -> None:
    server.status(400)
    with pytest.raises(ProviderRejected):
        await chain.stream(question(may_fall_back=False), Heard())
    assert second.requests == []


async def test_a_mistake_of_ours_is_nobody_elses_to_answer(chain: FallbackModel, second: ModelServer) -> None:
    broken = ToolSpec("search", "Search.", {"type": object()})
    with pytest.raises(InvalidInput):
        await chain.stream(question(tools=(broken,)), Heard())
    assert second.requests == []
