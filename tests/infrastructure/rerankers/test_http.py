"""Rerankers behind HTTP."""

import math
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from infrastructure.embedders.remote import Limits
from infrastructure.errors import ProviderProtocolError, ProviderRejected, ProviderUnavailable
from infrastructure.rerankers.http import MAX_TEXT, HttpReranker
from tests.infrastructure.embedders.scripted import ScriptedServer
from tests.model_wire import Exchange

MakeReranker = Callable[..., HttpReranker]


@pytest.fixture
async def make(server: ScriptedServer) -> AsyncIterator[MakeReranker]:
    async with AsyncExitStack() as stack:

        def make(**options: Any) -> HttpReranker:
            given = {"base_url": f"{server.url}/v1", "api_key": "sk-secret", "model": "jina"}
            reranker = HttpReranker(**(given | options))
            stack.push_async_callback(reranker.aclose)
            return reranker

        yield make


def results(*scores: float) -> dict[str, Any]:
    """Best first, as servers answer."""
    found = [{"index": n, "relevance_score": score} for n, score in enumerate(scores)]
    return {"results": sorted(found, key=lambda one: -one["relevance_score"])}


async def test_each_text_has_its_score_in_the_texts_order(server: ScriptedServer, make: MakeReranker) -> None:
    server.json(results(0.1, 0.9, 0.5))
    reranker = make()
    assert await reranker.rerank("q?", ["a", "b", "c\ud800"]) == [0.1, 0.9, 0.5]
    (request,) = server.requests
    assert (request.path, request.headers["authorization"]) == ("/v1/rerank", "Bearer sk-secret")
    assert request.body == {"model": "jina", "query": "q?", "documents": ["a", "b", "c?"], "top_n": 3}
    assert reranker.name == "http:jina"


async def test_no_texts_are_not_asked_about(server: ScriptedServer, make: MakeReranker) -> None:
    assert await make().rerank("q?", []) == []
    assert server.requests == []


async def test_long_texts_are_cut(server: ScriptedServer, make: MakeReranker) -> None:
    server.json(results(0.5))
    await make().rerank("q?", ["a" * 99_999])
    assert len(server.requests[0].body["documents"][0]) == MAX_TEXT


async def test_logits_become_probabilities_from_then_on(server: ScriptedServer, make: MakeReranker) -> None:
    server.json(results(-800, 0, 3))
    server.json(results(0.5))
    reranker = make()
    assert await reranker.rerank("q?", ["a", "b", "c"]) == pytest.approx([0, 0.5, 1 / (1 + math.exp(-3))])
    assert await reranker.rerank("q?", ["a"]) == pytest.approx([1 / (1 + math.exp(-0.5))])


async def test_logits_can_be_announced(server: ScriptedServer, make: MakeReranker) -> None:
    server.json(results(0.0, 1.0))
    assert await make(logits=True).rerank("q?", ["a", "b"]) == pytest.approx([0.5, 0.7310586])


async def test_a_server_that_speaks_as_tei_does_is_understood(server: ScriptedServer, make: MakeReranker) -> None:
    async def tei(exchange: Exchange) -> None:
        if "texts" not in exchange.request.body:
            return await exchange.json({"error": "missing field `texts`"}, 422)
        return await exchange.json([{"index": 1, "score": 0.8}, {"index": 0, "score": 0.2}])

    server.script(tei)
    reranker = make()
    for _ in range(2):
        assert await reranker.rerank("q?", ["a", "b"]) == [0.2, 0.8]
    assert ["texts" in request.body for request in server.requests] == [False, True, True]
    assert server.requests[2].body == {"query": "q?", "texts": ["a", "b"], "truncate": True}


async def test_a_server_that_was_understood_is_not_asked_in_another_way(
    server: ScriptedServer, make: MakeReranker
) -> None:
    server.json(results(0.5))
    server.json({}, 400)
    reranker = make()
    await reranker.rerank("q?", ["a"])
    with pytest.raises(ProviderRejected):
        await reranker.rerank("q?", ["a"])
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"results": None},
        results(0.5),
        results(0.5, 0.5, 0.5),
        {"results": [{"index": 0, "relevance_score": 1}, {"index": 0, "relevance_score": 1}]},
        {"results": [{"index": 0, "relevance_score": 1}, {"index": 2, "relevance_score": 1}]},
        {"results": [{"index": 0, "relevance_score": 1}, {"index": "1", "relevance_score": 1}]},
        {"results": [{"index": 0, "relevance_score": 1}, {"index": 1, "relevance_score": "1"}]},
        {"results": [{"index": 0, "relevance_score": 1}, {"index": 1}]},
        {"results": [{"index": 0, "relevance_score": 1}, 7]},
        {"results": [{"index": 0, "relevance_score": 1}, {"index": 1, "relevance_score": True}]},
    ],
)
async def test_an_answer_of_another_shape_is_never_taken(
    server: ScriptedServer, make: MakeReranker, wrong: Any
) -> None:
    server.json(wrong)
    with pytest.raises(ProviderProtocolError):
        await make().rerank("q?", ["a", "b"])


async def test_a_late_reranker_is_given_up(server: ScriptedServer, make: MakeReranker) -> None:
    server.hang()
    with pytest.raises(ProviderUnavailable, match="too long"):
        await make(limits=Limits(total=0.05)).rerank("q?", ["a"])


async def test_a_refusal_is_one(server: ScriptedServer, make: MakeReranker) -> None:
    server.json({}, 401)
    with pytest.raises(ProviderRejected):
        await make().rerank("q?", ["a"])
    assert len(server.requests) == 1
