"""Chat models of an Ollama server, by its OpenAI-compatible side: https://docs.ollama.com/openai."""

from infrastructure.errors import ProviderError, ProviderRejected
from infrastructure.providers.openai import OpenAIProvider
from infrastructure.providers.timeouts import Timeouts

_NOT_FOUND = 404


class OllamaProvider(OpenAIProvider):
    """`base_url` is the server's root; a `/v1` at its end is not minded."""

    def __init__(self, *, base_url: str, model: str, timeouts: Timeouts | None = None) -> None:
        super().__init__(
            base_url=f"{ollama_root(base_url)}/v1", api_key=None, model=model, name="ollama", timeouts=timeouts
        )

    def refused(self, status: int, model: str, error: ProviderError) -> ProviderError:
        """It answers 404 for a model that was not pulled."""
        if status != _NOT_FOUND:
            return error
        return ProviderRejected(f"Ollama does not have the model: ollama pull {model}")


def ollama_root(base_url: str) -> str:
    return base_url.strip().rstrip("/").removesuffix("/v1").rstrip("/")


def tagged(model: str) -> str:
    """A model's name with its tag, which is `latest` where it has none."""
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


def same_model(one: str, other: str) -> bool:
    """Whether Ollama takes both names for one model: it does not mind capitals."""
    return tagged(one).casefold() == tagged(other).casefold()
