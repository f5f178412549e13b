"""Which embedding model and which reranker the settings come to."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from backend.embedders import check_models, embedding_opener, open_embedder, open_reranking, open_wanted
from backend.settings import Settings
from infrastructure.embedders.ollama import OllamaEmbedder
from infrastructure.embedders.openai import OpenAIEmbedder
from infrastructure.embedders.wordllama import WordLlamaEmbedder
from infrastructure.errors import ProviderRejected
from services.embedding_specs import ModelSpec
from tests.infrastructure.embedders.scripted import ScriptedServer, ollama_answer, openai_answer

MISSING = importlib.util.find_spec("fastembed") is None


def settings(tmp_path: Path, **values: Any) -> Settings:
    return Settings(_env_file=None, cache_dir=tmp_path, **values)


def test_words_are_embedded_here_where_nothing_is_set(tmp_path: Path) -> None:
    it = settings(tmp_path)
    assert isinstance(open_embedder(it, it.embedding_spec), WordLlamaEmbedder)
    assert open_reranking(it) is None
    check_models(it)


@pytest.mark.parametrize(
    ("values", "path", "key", "body"),
    [
        ({"agent_embedding_model": "small", "openai_api_key": "sk-a"}, "/v1/embeddings", "Bearer sk-a", {}),
        ({"agent_embedding_model": "openai:small@10", "embeddings_api_key": "sk-b", "openai_api_key": "sk-a"},
         "/v1/embeddings", "Bearer sk-b", {"dimensions": 10}),
        ({"agent_embedding_model": "ollama"}, "/api/embed", None, {"model": "nomic-embed-text"}),
    ],
)  # fmt: skip
async def test_a_model_behind_http_is_asked_where_and_as_the_settings_say(
    values: dict[str, Any], path: str, key: str | None, body: dict[str, Any], tmp_path: Path
) -> None:
    async with ScriptedServer() as server:
        server.script(ollama_answer if path == "/api/embed" else openai_answer)
        addresses = {"embeddings_base_url": f"{server.url}/v1", "ollama_base_url": server.url}
        it = settings(tmp_path, **addresses, **values)
        embeddings = embedding_opener(it, None)(it.embedding_spec)
        await embeddings.open()
        await embeddings.embed(["a"])
        await embeddings.aclose()
        request = server.requests[0]
    assert embeddings.dimensions == 10
    assert request.path == path
    assert request.headers.get("authorization") == key
    assert {"model": "small"} | body == {name: request.body[name] for name in {"model": "small"} | body}
    kind = OllamaEmbedder if path == "/api/embed" else OpenAIEmbedder
    assert isinstance(open_embedder(it, it.embedding_spec), kind)


@pytest.mark.skipif(not MISSING, reason="fastembed is installed here")
async def test_what_is_not_installed_is_named_with_what_to_install(tmp_path: Path) -> None:
    it = settings(tmp_path, agent_embedding_model="fastembed:BAAI/bge-small-en-v1.5")
    with pytest.raises(ProviderRejected, match=r"fastembed.*requirements-local"):
        check_models(it)
    with pytest.raises(ProviderRejected, match="fastembed"):
        open_reranking(settings(tmp_path, reranker="fastembed:any"))
    stand_in = open_wanted(embedding_opener(it, None), it.embedding_spec)
    assert stand_in.model == "fastembed:BAAI/bge-small-en-v1.5"
    with pytest.raises(ProviderRejected, match="fastembed"):
        await stand_in.open()
    await stand_in.aclose()


def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(tmp_path: Path) -> None:
    it = settings(tmp_path, embeddings_api_key="canary\nx", agent_embedding_model="openai:small")
    with pytest.raises(ProviderRejected) as caught:
        open_embedder(it, ModelSpec("openai", "small"))
    assert "canary" not in str(caught.value)


async def test_a_reranker_is_opened_where_one_is_set(tmp_path: Path) -> None:
    it = settings(tmp_path, reranker="http", reranker_base_url="http://127.0.0.1:1/v1", reranker_model="jina")
    reranking = open_reranking(it)
    assert reranking is not None
    await reranking.aclose()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"agent_embedding_model": "openai:"}, "Say openai:<model>"),
        ({"agent_embedding_model": "wordllama:canary"}, "wordllama has one model"),
        ({"embeddings_base_url": "canary"}, "must be http"),
        ({"ollama_base_url": "canary"}, "must be http"),
        ({"reranker": "canary"}, "must be none, http or fastembed:<model>"),
        ({"reranker": "fastembed"}, "must be none, http or fastembed:<model>"),
        ({"reranker": "http"}, "needs RERANKER_BASE_URL"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, str], named: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(tmp_path, **values)
    assert named in str(caught.value)
    assert "canary" not in str(caught.value)
