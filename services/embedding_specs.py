"""How an embedding model is named: by people, in the settings and the API, and where its vectors are kept."""

from dataclasses import dataclass
from typing import Final

from infrastructure.errors import InvalidInput

WORDLLAMA, MINILM, OPENAI, OLLAMA, FASTEMBED = "wordllama", "minilm", "openai", "ollama", "fastembed"
PROVIDERS: Final = (WORDLLAMA, MINILM, OPENAI, OLLAMA, FASTEMBED)
MAX_NAME = 180  # with the provider before it, what its vectors are kept under has 200 characters at most
_KEPT: Final = {WORDLLAMA: "wordllama-l2-supercat-256", MINILM: "all-minilm-l6-v2"}
_PROVIDER_OF_KEPT: Final = {kept: provider for provider, kept in _KEPT.items()}
_OWN_NAMES: Final = {
    WORDLLAMA: {"wordllama", _KEPT[WORDLLAMA]},
    MINILM: {"minilm", _KEPT[MINILM], f"sentence-transformers/{_KEPT[MINILM]}"},
}


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A provider and one of its models. `wordllama` and `minilm` are providers of one model each."""

    provider: str
    name: str

    @property
    def kept(self) -> str:
        """What its vectors are kept under: its embedder's name."""
        return _KEPT.get(self.provider) or f"{self.provider}:{self.name}"

    def __str__(self) -> str:
        return self.provider if self.provider in _KEPT else self.kept


def model_spec(provider: str, name: str) -> ModelSpec:
    """
    Raises:
        InvalidInput: there is no such provider, or it has no such model.
    """
    name = name.strip()
    if provider not in PROVIDERS:
        raise InvalidInput(f"Unknown provider. Known: {', '.join(PROVIDERS)}.")
    if provider in _KEPT:
        if name.lower() not in _OWN_NAMES[provider]:
            raise InvalidInput(f"{provider} has one model: {_KEPT[provider]}.")
        return ModelSpec(provider, _KEPT[provider])
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise InvalidInput(f"A model's name has 1 to {MAX_NAME} printable characters.")
    return ModelSpec(provider, name)


def parse_spec(text: str, *, ollama_model: str = "") -> ModelSpec:
    """`wordllama`, `minilm`, `openai:<model>`, `ollama:<model>` or `fastembed:<model>`; `ollama` alone is its
    `ollama_model`, and any other name a model of an OpenAI-compatible server.

    Raises:
        InvalidInput: it is none of these.
    """
    text = text.strip()
    provider, colon, name = text.partition(":")
    if provider.lower() in PROVIDERS:
        provider = provider.lower()
        if provider in _KEPT and not colon:
            name = provider
        if provider == OLLAMA and not colon:
            name = ollama_model
        if not name:
            raise InvalidInput(f"Which model of {provider}? Say {provider}:<model>.")
        return model_spec(provider, name)
    if text.lower() in _OWN_NAMES[WORDLLAMA] | _OWN_NAMES[MINILM]:
        return model_spec(WORDLLAMA if text.lower() in _OWN_NAMES[WORDLLAMA] else MINILM, text)
    return model_spec(OPENAI, text)


def spec_of_kept(kept: str) -> ModelSpec | None:
    """The model that made vectors kept under that name; None where none can have."""
    if kept in _PROVIDER_OF_KEPT:
        return ModelSpec(_PROVIDER_OF_KEPT[kept], kept)
    provider, colon, name = kept.partition(":")
    return ModelSpec(provider, name) if colon and provider in PROVIDERS else None
