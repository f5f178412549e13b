"""Embedding models behind an OpenAI-compatible endpoint."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from infrastructure.embedders.batches import BatchLimits
from infrastructure.embedders.openai import OpenAIEmbedder
from infrastructure.embedders.remote import Limits
from infrastructure.errors import ProviderProtocolError, ProviderRejected, ProviderUnavailable
from tests.infrastructure.embedders.scripted import ScriptedServer, openai_answer, packed, unit, vector
from tests.model_wire import Exchange

MakeEmbedder = Callable[..., OpenAIEmbedder]


@pytest.fixture
async def pauses() -> list[float]:
    return []


@pytest.fixture
async def make(server: ScriptedServer, pauses: list[float]) -> AsyncIterator[MakeEmbedder]:
    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async with AsyncExitStack() as stack:

        def make(**options: Any) -> OpenAIEmbedder:
            given = {"base_url": f"{server.url}/v1", "api_key": "sk-secret", "model": "small", "sleep": sleep}
            embedder = OpenAIEmbedder(**(given | options))
            stack.push_async_callback(embedder.aclose)
            return embedder

        yield make


def answer(*items: dict[str, Any]) -> dict[str, Any]:
    return {"object": "list", "data": list(items)}


async def test_texts_become_unit_vectors_in_their_order(server: ScriptedServer, make: MakeEmbedder) -> None:
    server.script(openai_answer)
    vectors = await make().embed(["a bad cab", "hidden"])
    assert vectors.dtype == np.float32
    assert np.allclose(vectors, [unit("a bad cab"), unit("hidden")])
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/embeddings")
    assert request.headers["authorization"] == "Bearer sk-secret"
    assert request.body == {"model": "small", "input": ["a bad cab", "hidden"], "encoding_format": "base64"}


async def test_the_dimensions_are_learnt_from_the_first_answer(server: ScriptedServer, make: MakeEmbedder) -> None:
    server.script(openai_answer)
    embedder = make()
    with pytest.raises(ProviderUnavailable, match="not answered yet"):
        _ = embedder.dimensions
    await embedder.embed(["abc"])
    assert (embedder.name, embedder.dimensions) == ("openai:small", 10)


def test_well_known_models_dimensions_need_no_answer(make: MakeEmbedder) -> None:
    assert make(model="text-embedding-3-large").dimensions == 3072


async def test_shorter_vectors_are_asked_for_and_are_another_model(server: ScriptedServer, make: MakeEmbedder) -> None:
    server.script(openai_answer)
    embedder = make(dimensions=10)
    await embedder.embed(["abc"])
    assert server.requests[0].body["dimensions"] == 10
    assert (embedder.name, embedder.dimensions) == ("openai:small@10", 10)


async def test_answers_out_of_order_are_put_in_order(server: ScriptedServer, make: MakeEmbedder) -> None:
    server.json(answer({"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [3, 0]}))
    assert (await make().embed(["first", "second"])).tolist() == [[1, 0], [0, 1]]


async def test_answers_without_numbers_are_taken_in_order(server: ScriptedServer, make: MakeEmbedder) -> None:
    server.json(answer({"embedding": [3, 0]}, {"embedding": packed([0, 2])}))
    assert (await make().embed(["first", "second"])).tolist() == [[1, 0], [0, 1]]


async def test_a_server_that_refuses_base64_is_asked_for_floats_from_then_on(
    server: ScriptedServer, make: MakeEmbedder
) -> None:
    async def floats_only(exchange: Exchange) -> None:
        if "encoding_format" in exchange.request.body:
            await exchange.json({"error": {"message": "no such option"}}, 400)
        else:
            await openai_answer(exchange)

    server.script(floats_only)
    embedder = make()
    for text in ("abc", "def"):
        assert np.allclose(await embedder.embed([text]), [unit(text)])
    assert ["encoding_format" in request.body for request in server.requests] == [True, False, False]


async def test_a_server_that_took_base64_is_not_asked_twice(server: ScriptedServer, make: MakeEmbedder) -> None:
    server.script(openai_answer)
    server.json({"error": {"message": "too long"}}, 400)
    embedder = make()
    await embedder.embed(["abc"])
    with pytest.raises(ProviderRejected):
        await embedder.embed(["def"])
    assert len(server.requests) == 2


async def test_blank_texts_are_not_sent_and_are_zeros(server: ScriptedServer, make: MakeEmbedder) -> None:
    server.script(openai_answer)
    embedder = make(dimensions=10)
    assert not (await embedder.embed(["", " \n"])).any()
    assert server.requests == []
    vectors = await embedder.embed(["", "abc", " "])
    assert np.allclose(vectors, [np.zeros(10), unit("abc"), np.zeros(10)])
    assert server.requests[0].body["input"] == ["abc"]
    assert (await embedder.embed([])).shape == (0, 10)


async def test_requests_are_bounded_by_count_and_by_characters(server: ScriptedServer, make: MakeEmbedder) -> None:
    server.script(openai_answer)
    texts = ["a" * 4, "b" * 4, "c" * 4, "d" * 9, "e", "f" * 99]
    vectors = await make(batch=BatchLimits(texts=2, chars=10, text_chars=20)).embed(texts)
    assert [len(request.body["input"]) for request in server.requests] == [2, 1, 2, 1]
    assert len(server.requests[-1].body["input"][0]) == 20
    assert np.allclose(vectors, [unit(text) for text in texts])


async def test_a_request_too_large_is_halved(server: ScriptedServer, make: MakeEmbedder) -> None:
    async def two_at_most(exchange: Exchange) -> None:
        if len(exchange.request.body["input"]) > 2:
            await exchange.json({"error": "batch size 5 > maximum allowed batch size 2"}, 413)
        else:
            await openai_answer(exchange)

    server.script(two_at_most)
    texts = ["a", "b", "c", "d", "e"]
    assert np.allclose(await make().embed(texts), [unit(text) for text in texts])


async def test_one_text_too_large_is_refused(server: ScriptedServer, make: MakeEmbedder) -> None:
    server.json({}, 413)
    with pytest.raises(ProviderRejected):
        await make().embed(["a"])
    assert len(server.requests) == 1


async def test_lone_surrogates_are_sent_as_question_marks(server: ScriptedServer, make: MakeEmbedder) -> None:
    server.script(openai_answer)
    await make().embed(["a\ud800b"])
    assert server.requests[0].body["input"] == ["a?b"]


async def test_questions_and_passages_have_the_words_that_the_model_knows(
    server: ScriptedServer, make: MakeEmbedder
) -> None:
    server.script(openai_answer)
    embedder = make(model="intfloat/multilingual-e5-small")
    await embedder.embed(["abc"], "query")
    await embedder.embed(["abc"])
    assert [request.body["input"] for request in server.requests] == [["query: abc"], ["passage: abc"]]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_busy_server_is_asked_again(
    server: ScriptedServer, make: MakeEmbedder, pauses: list[float], status: int
) -> None:
    server.json({}, status, {"Retry-After": "3"})
    server.script(openai_answer)
    assert np.allclose(await make().embed(["abc"]), [unit("abc")])
    assert pauses == [3.0]


async def test_a_long_retry_after_is_not_waited_for_in_full(
    server: ScriptedServer, make: MakeEmbedder, pauses: list[float]
) -> None:
    server.json({}, 429, {"Retry-After": "3600"})
    server.script(openai_answer)
    await make().embed(["abc"])
    assert pauses == [10.0]


async def test_after_the_last_try_it_is_unavailable(server: ScriptedServer, make: MakeEmbedder) -> None:
    server.json({}, 503, {"Retry-After": "7"})
    with pytest.raises(ProviderUnavailable) as caught:
        await make(limits=Limits(max_retries=2)).embed(["abc"])
    assert caught.value.retry_after == 7.0
    assert len(server.requests) == 3


async def test_an_answer_cut_short_is_asked_for_again(server: ScriptedServer, make: MakeEmbedder) -> None:
    server.cut()
    server.script(openai_answer)
    assert np.allclose(await make().embed(["abc"]), [unit("abc")])


async def test_a_server_that_is_not_there_is_unavailable(make: MakeEmbedder) -> None:
    with pytest.raises(ProviderUnavailable, match="cannot be reached"):
        await make(base_url="http://127.0.0.1:1/v1").embed(["abc"])


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"error": {"code": "invalid_api_key"}}),
        (403, None),
        (404, {"error": {"code": "model_not_found"}}),
        (429, {"error": {"code": "insufficient_quota"}}),
        (307, None),
    ],
)
async def test_what_cannot_become_better_is_asked_once(
    server: ScriptedServer, make: MakeEmbedder, status: int, body: Any
) -> None:
    server.json(body, status)
    with pytest.raises(ProviderRejected):
        await make().embed(["abc"])
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        answer(),
        answer({"index": 0, "embedding": [1]}),
        answer({"index": 0, "embedding": [1]}, {"index": 0, "embedding": [2]}),
        answer({"index": 0, "embedding": [1]}, {"index": 2, "embedding": [2]}),
        answer({"index": 0, "embedding": [1]}, {"index": [1], "embedding": [2]}),
        answer({"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1, 2]}),
        answer({"index": 0, "embedding": [1]}, {"index": 1, "embedding": []}),
        answer({"index": 0, "embedding": [1]}, {"index": 1, "embedding": [None]}),
        answer({"index": 0, "embedding": [1]}, {"index": 1, "embedding": ["1"]}),
        answer({"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1e300]}),
        answer({"index": 0, "embedding": [1]}, {"index": 1, "embedding": [10**400]}),
        answer({"index": 0, "embedding": [1]}, {"index": 1, "embedding": "not base64!"}),
        answer({"index": 0, "embedding": [1]}, {"index": 1, "embedding": "QUJD"}),
        answer({"index": 0, "embedding": [1]}, {"index": 1, "embedding": packed([float("nan")])}),
        answer({"index": 0, "embedding": [1]}, {"index": 1}),
        {"data": ["x", "y"]},
        {"data": None},
        [],
        "vectors",
    ],
)
async def test_an_answer_of_another_shape_is_never_taken(
    server: ScriptedServer, make: MakeEmbedder, wrong: Any
) -> None:
    server.json(wrong)
    with pytest.raises(ProviderProtocolError):
        await make().embed(["first", "second"])


async def test_an_answer_that_is_not_json_is_a_protocol_error(server: ScriptedServer, make: MakeEmbedder) -> None:
    server.plain(b'{"data": [{"embedding": [NaN]}]}')
    with pytest.raises(ProviderProtocolError, match="JSON"):
        await make().embed(["abc"])


async def test_broken_http_is_a_protocol_error(server: ScriptedServer, make: MakeEmbedder) -> None:
    async def broken(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/9.9 what\r\n\r\n")
        exchange.close()

    server.script(broken)
    with pytest.raises(ProviderProtocolError, match="HTTP"):
        await make().embed(["abc"])


async def test_vectors_of_another_length_than_before_are_never_taken(
    server: ScriptedServer, make: MakeEmbedder
) -> None:
    server.script(openai_answer)
    server.json(answer({"index": 0, "embedding": [1, 2]}))
    embedder = make()
    await embedder.embed(["abc"])
    with pytest.raises(ProviderProtocolError, match="another length"):
        await embedder.embed(["abc"])


async def test_a_body_without_end_is_not_read_to_its_end(
    server: ScriptedServer, make: MakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.embedders.remote.MAX_BODY", 1000)
    server.plain(b"[" * 5000)
    with pytest.raises(ProviderProtocolError, match="too much"):
        await make().embed(["abc"])


async def test_a_silent_server_is_given_up_and_asked_again(
    server: ScriptedServer, make: MakeEmbedder, pauses: list[float]
) -> None:
    server.hang()
    with pytest.raises(ProviderUnavailable, match="too long"):
        await make(limits=Limits(one_try=0.1, max_retries=1)).embed(["abc"])
    assert len(pauses) == 1


async def test_the_whole_call_is_limited_as_well(server: ScriptedServer, make: MakeEmbedder) -> None:
    server.hang()
    with pytest.raises(ProviderUnavailable, match="too long"):
        await make(limits=Limits(total=0.05)).embed(["abc"])
    assert len(server.requests) <= 1


async def test_a_caller_that_leaves_closes_the_connection(server: ScriptedServer, make: MakeEmbedder) -> None:
    server.hang()
    embedding = asyncio.create_task(make().embed(["abc"]))
    await server.arrived.wait()
    embedding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await embedding
    assert (await asyncio.wait_for(server.closed.get(), 30)).request.path == "/v1/embeddings"


async def test_a_refusal_in_other_words_than_json_is_one(server: ScriptedServer, make: MakeEmbedder) -> None:
    server.script(lambda exchange: exchange.plain(b"<h1>Forbidden</h1>", 403, {"content-type": "text/html"}))
    with pytest.raises(ProviderRejected):
        await make().embed(["abc"])


async def test_neither_key_nor_text_nor_the_servers_words_are_told(server: ScriptedServer, make: MakeEmbedder) -> None:
    server.json({"error": {"message": "private words", "code": "sk-secret!"}}, 401)
    with capture_logs() as logs, pytest.raises(ProviderRejected) as caught:
        await make().embed(["a private text"])
    told = json.dumps(logs) + caught.value.message
    assert logs
    assert not any(secret in told for secret in ("sk-secret", "private", server.url))


def test_a_url_that_is_none_is_refused(make: MakeEmbedder) -> None:
    with pytest.raises(ValueError, match="base URL"):
        make(base_url="ftp://example.org")


def test_the_scripted_vectors_are_not_of_norm_one() -> None:
    assert np.linalg.norm(vector("aabb")) > 1
