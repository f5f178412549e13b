"""Embedding models of an Ollama server."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from infrastructure.embedders.ollama import OllamaEmbedder
from infrastructure.errors import ProviderProtocolError, ProviderRejected
from tests.infrastructure.embedders.scripted import ScriptedServer, ollama_answer, unit


@pytest.fixture
async def embedder(server: ScriptedServer) -> AsyncIterator[OllamaEmbedder]:
    embedder = OllamaEmbedder(base_url=f"{server.url}/v1/", model="nomic-embed-text")
    yield embedder
    await embedder.aclose()


async def test_texts_become_unit_vectors(server: ScriptedServer, embedder: OllamaEmbedder) -> None:
    server.script(ollama_answer)
    vectors = await embedder.embed(["abc", ""])
    assert np.allclose(vectors, [unit("search_document: abc"), np.zeros(10)])
    assert (embedder.name, embedder.dimensions) == ("ollama:nomic-embed-text", 10)
    (request,) = server.requests
    assert request.path == "/api/embed"
    assert "authorization" not in request.headers
    assert request.body == {"model": "nomic-embed-text", "input": ["search_document: abc"], "truncate": True}


async def test_a_model_that_is_not_pulled_is_named(server: ScriptedServer, embedder: OllamaEmbedder) -> None:
    server.json({"error": 'model "nomic-embed-text" not found, try pulling it first'}, 404)
    with pytest.raises(ProviderRejected, match="ollama pull nomic-embed-text"):
        await embedder.embed(["abc"])
    assert len(server.requests) == 1


async def test_another_refusal_stays_one(server: ScriptedServer, embedder: OllamaEmbedder) -> None:
    server.json({"error": "no"}, 400)
    with pytest.raises(ProviderRejected, match="refused"):
        await embedder.embed(["abc"])


@pytest.mark.parametrize("wrong", [{}, [], {"embeddings": {}}, {"embeddings": []}, {"embeddings": [[1], [2]]}])
async def test_an_answer_of_another_shape_is_never_taken(
    server: ScriptedServer, embedder: OllamaEmbedder, wrong: object
) -> None:
    server.json(wrong)
    with pytest.raises(ProviderProtocolError):
        await embedder.embed(["abc"])
