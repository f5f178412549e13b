"""How embedding models are named."""

import pytest

from infrastructure.embedders.minilm import NAME as MINILM_NAME
from infrastructure.embedders.wordllama import NAME as WORDLLAMA_NAME
from infrastructure.errors import InvalidInput
from services.embedding_specs import MAX_NAME, model_spec, parse_spec, spec_of_kept

SPECS = [
    ("wordllama", "wordllama", WORDLLAMA_NAME),
    (" WordLlama ", "wordllama", WORDLLAMA_NAME),
    (WORDLLAMA_NAME, "wordllama", WORDLLAMA_NAME),
    ("minilm", "minilm", MINILM_NAME),
    ("sentence-transformers/all-MiniLM-L6-v2", "minilm", MINILM_NAME),
    ("openai:text-embedding-3-small", "openai", "openai:text-embedding-3-small"),
    ("text-embedding-3-large@256", "openai", "openai:text-embedding-3-large@256"),
    ("qwen:0.6b", "openai", "openai:qwen:0.6b"),
    ("ollama:mxbai-embed-large:latest", "ollama", "ollama:mxbai-embed-large:latest"),
    ("ollama", "ollama", "ollama:nomic-embed-text"),
    ("fastembed:BAAI/bge-small-en-v1.5", "fastembed", "fastembed:BAAI/bge-small-en-v1.5"),
]


@pytest.mark.parametrize(("text", "provider", "kept"), SPECS)
def test_a_spec_names_a_provider_and_what_its_vectors_are_kept_under(text: str, provider: str, kept: str) -> None:
    spec = parse_spec(text, ollama_model="nomic-embed-text")
    assert (spec.provider, spec.kept) == (provider, kept)
    assert parse_spec(str(spec)) == spec
    assert spec_of_kept(spec.kept) == spec


@pytest.mark.parametrize(
    "text", ["", "openai", "openai:", "ollama", "fastembed", "wordllama:other", "minilm:", "openai:a\nb", "x" * 181]
)
def test_what_names_no_model_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_spec(text)


@pytest.mark.parametrize(
    ("provider", "name"), [("cohere", "x"), ("wordllama", "x"), ("openai", " "), ("ollama", "x" * (MAX_NAME + 1))]
)
def test_a_provider_has_no_model_of_a_name_that_cannot_be_one(provider: str, name: str) -> None:
    with pytest.raises(InvalidInput):
        model_spec(provider, name)


def test_vectors_kept_under_no_models_name_are_nobodys() -> None:
    assert spec_of_kept("words") is None
    assert spec_of_kept("cohere:x") is None
