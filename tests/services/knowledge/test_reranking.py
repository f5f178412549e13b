"""Reranking in a search: a real search index, and a reranker over HTTP that is told what to answer."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from infrastructure.rerankers.http import HttpReranker
from services.knowledge.reranking import Reranking
from services.knowledge.search import SearchIndex
from tests.infrastructure.embedders.scripted import ScriptedServer
from tests.model_wire import Exchange
from tests.services.knowledge.corpus import knowledge, open_index

QUESTION = "What does an oracle bring to a smart contract?"


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


def reranking(server: ScriptedServer, seconds: float = 5.0) -> Reranking:
    return Reranking(HttpReranker(base_url=server.url, api_key=None, model="jina"), seconds)


async def backwards(exchange: Exchange) -> None:
    """The longer a text, the better."""
    texts = exchange.request.body["documents"]
    scores = [{"index": n, "relevance_score": len(text) / 1000} for n, text in enumerate(texts)]
    await exchange.json({"results": scores})


async def search(ranking: Reranking | None, limit: int = 3) -> tuple[Any, Any]:
    """What is found without the reranker, and with it."""
    options: dict[str, Any] = {"reranking": ranking}
    plain, ranked = await open_index(knowledge()), await open_index(knowledge(), **options)
    try:
        return await plain.search(QUESTION, limit), await ranked.search(QUESTION, limit)
    finally:
        for index in (plain, ranked):
            await index.aclose()
        if ranking is not None:
            await ranking.aclose()


async def test_the_rerankers_order_and_scores_count_and_the_confidence_stays(server: ScriptedServer) -> None:
    server.script(backwards)
    plain, ranked = await search(reranking(server))
    longest = sorted(knowledge(), key=lambda one: -len(one.text))[:3]
    assert [one.text for one in ranked.passages] == [one.text for one in longest]
    assert [one.score for one in ranked.passages] == [len(one.text) / 1000 for one in longest]
    assert ranked.confidence == plain.confidence
    body = server.requests[0].body
    assert (body["query"], len(body["documents"])) == (QUESTION, len(knowledge()))  # more than were asked for


async def test_a_late_reranker_changes_nothing(server: ScriptedServer) -> None:
    server.hang()
    began = time.monotonic()
    plain, ranked = await search(reranking(server, 0.05))
    assert ranked.passages == plain.passages
    assert time.monotonic() - began < 3


async def test_a_failing_reranker_changes_nothing_and_is_told_of_once(server: ScriptedServer) -> None:
    server.json({"error": "no"}, 401)
    ranking = reranking(server)
    options: dict[str, Any] = {"reranking": ranking}
    index: SearchIndex = await open_index(knowledge(), **options)
    with capture_logs() as lines:
        found = [await index.search(QUESTION, 2) for _ in range(3)]
    assert all(one.passages[0].document == "oracle.md" and len(one.passages) == 2 for one in found)
    told = [line for line in lines if line["event"] == "not_reranked"]
    assert [(line["reason"], line["searches"]) for line in told] == [("provider_unavailable", 1)]
    assert not any(QUESTION in str(line) for line in lines)
    await index.aclose()
    await ranking.aclose()


async def test_what_is_alone_needs_no_order(server: ScriptedServer) -> None:
    ranking = reranking(server)
    options: dict[str, Any] = {"reranking": ranking}
    index = await open_index(knowledge()[:1], **options)
    assert len((await index.search(QUESTION)).passages) == 1
    assert server.requests == []
    await index.aclose()
    await ranking.aclose()
